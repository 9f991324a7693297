package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/skott-dev/skott/hack/crds/module"
)

// Module names the CRDs of one project inside its Go module. Reading them there keeps them exactly as published, and
// keeps copies of other people's files out of this repository.
type Module struct {
	module.Module
	// Files are globs inside the module. Each must match.
	Files []string
	// Labels are added to every CRD.
	Labels map[string]string
}

// of names the CRDs that match a glob in one version of a module, whose content has a hash.
func of(path, version, sum, files string) Module {
	return Module{Module: module.Module{Path: path, Version: version, Sum: "h1:" + sum}, Files: []string{files}}
}

func (m Module) labelled(labels map[string]string) Module {
	m.Labels = labels
	return m
}

// The modules whose kinds Skott reads or guards.
var (
	// Velero is backup and restore.
	Velero = of("github.com/vmware-tanzu/velero", "v1.18.3", "9uwN5yxTWQl9PsF5ljX4xiG+7VIq3I9mxOQ0DyyZ31A=", "config/crd/v1/bases/*.yaml")
	// Snapshots are the CSI volume snapshots and volume group snapshots.
	Snapshots = of("github.com/kubernetes-csi/external-snapshotter/client/v8", "v8.6.0", "FtGewu2k6HWw6evLGXY8JqUZ9eHpti1kd3e4amj+ilA=", "config/crd/*snapshot*.yaml")
	// CloudNativePG is the PostgreSQL operator.
	CloudNativePG = of("github.com/cloudnative-pg/cloudnative-pg", "v1.30.0", "fnhVq44xXx97MNiuvJsPrX1vSjYbgdyBK5MSGfdHdp0=", "config/crd/bases/*.yaml")
	// BarmanCloud holds the object stores of CloudNativePG's backup plugin.
	BarmanCloud = of("github.com/cloudnative-pg/plugin-barman-cloud", "v0.14.0", "kpTo7egntRIM15hvo0xtOj07wyjj23jcz/Co0KfzC7s=", "config/crd/bases/*.yaml")
	// ExternalSecrets holds SecretStore and ClusterSecretStore only: the others name no address.
	ExternalSecrets = of("github.com/external-secrets/external-secrets", "v1.3.2", "u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=", "config/crds/bases/external-secrets.io_*secretstores.yaml")
	// ArgoCD is Application, ApplicationSet and AppProject.
	ArgoCD = of("github.com/argoproj/argo-cd/v3", "v3.5.1", "jtwPLEFX9mNj3jSq88ugFcScGnOZVs2DWaXFuZxrRT8=", "manifests/crds/*-crd.yaml")
	// OpenReports is Report and ClusterReport.
	OpenReports = of("github.com/openreports/reports-api", "v0.2.1", "g9KS3yle9Y1elmww4TK9EkD1rl6inIaiIJPX6e+u680=", "config/crd/*.yaml")
	// PolicyReports is PolicyReport and ClusterPolicyReport, as Kyverno ships them.
	PolicyReports = of("github.com/kyverno/kyverno", "v1.13.4", "2zUi+eszlisLdCir+WIf2NtuUfFPvJtjUNpewdtLjVw=", "config/crds/policyreport/*.yaml")
	// ClusterAPI holds the core CRDs, with contract labels and without conversion. StartClusterAPI installs them itself;
	// install them alone only where no manager runs.
	ClusterAPI = of("sigs.k8s.io/cluster-api", "v1.14.2", "o3GFNaeNFAOEEMpDPfhCK+2CjmV6gtQ8yLEcUwCg7bA=", "core/config/crd/bases/*.yaml").labelled(map[string]string{
		// They tell Cluster API which version of a CRD speaks which version of its contract.
		"cluster.x-k8s.io/provider": "cluster-api",
		"cluster.x-k8s.io/v1beta1":  "v1beta1",
		"cluster.x-k8s.io/v1beta2":  "v1beta2",
	})
)

// Modules returns every module of the table.
func Modules() []Module {
	return []Module{Velero, Snapshots, CloudNativePG, BarmanCloud, ExternalSecrets, ArgoCD, OpenReports, PolicyReports, ClusterAPI}
}

// CRDs downloads modules, unless the module cache has them, and reads their CRDs.
func CRDs(ctx context.Context, modules ...Module) ([]*unstructured.Unstructured, error) {
	dirs, err := download(ctx, modules)
	if err != nil {
		return nil, err
	}
	var crds []*unstructured.Unstructured
	for i, m := range modules {
		objects, err := readManifests(dirs[i], m.Files...)
		if err != nil {
			return nil, fmt.Errorf("cannot read the CRDs of %s: %w", m.Path, err)
		}
		for _, object := range objects {
			if object.GetKind() != "CustomResourceDefinition" {
				continue
			}
			labels := object.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			maps.Copy(labels, m.Labels)
			object.SetLabels(labels)
			crds = append(crds, object)
		}
	}
	return crds, nil
}

// download returns the directory of each module, after comparing its hash with the table.
func download(ctx context.Context, modules []Module) ([]string, error) {
	named := make([]module.Module, len(modules))
	for i, m := range modules {
		named[i] = m.Module
	}
	return module.Download(ctx, named)
}

// readManifests reads every YAML document of the files that match globs under dir.
func readManifests(dir string, globs ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, glob := range globs {
		files, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%q matches no file in the module", glob)
		}
		slices.Sort(files)
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			decoded, err := decodeManifests(content)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
			objects = append(objects, decoded...)
		}
	}
	return objects, nil
}

// decodeManifests splits YAML into objects. Empty documents are left out.
func decodeManifests(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
