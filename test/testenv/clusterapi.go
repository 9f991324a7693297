package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// clusterAPINamespace is where the manager believes it runs.
const clusterAPINamespace = "capi-system"

// clusterAPI is the Cluster API core manager of one server, and the ports it keeps over restarts of itself.
type clusterAPI struct {
	process *process
	webhook int // port of the admission and conversion webhooks
	health  int
}

// StartClusterAPI makes the server a management cluster: it installs the core CRDs and webhooks of Cluster API, with
// nothing but their addresses changed, and runs the real core manager as the administrator. It returns when the
// manager is ready. Calling it after StopClusterAPI starts the manager again.
func (s *Server) StartClusterAPI(ctx context.Context) error {
	s.capiMu.Lock()
	defer s.capiMu.Unlock()
	if s.capi == nil {
		capi, err := s.installClusterAPI(ctx)
		if err != nil {
			return fmt.Errorf("cannot install Cluster API on server %q: %w", s.name, err)
		}
		s.capi = capi
	}
	probe := fmt.Sprintf("http://%s:%d/readyz", loopback, s.capi.health)
	err := s.capi.process.startReady(ctx, func(ctx context.Context) error {
		return healthy(ctx, http.DefaultClient, probe)
	})
	if err != nil {
		return fmt.Errorf("cannot start Cluster API on server %q: %w", s.name, err)
	}
	return nil
}

// StopClusterAPI ends the manager at once. Its CRDs and webhooks stay, so that writing a Cluster fails until the
// manager is back. Without a manager it does nothing.
func (s *Server) StopClusterAPI() error {
	s.capiMu.Lock()
	defer s.capiMu.Unlock()
	if s.capi == nil {
		return nil
	}
	return s.capi.process.stop()
}

// installClusterAPI chooses the manager's ports, writes its certificate and applies its manifests. The webhooks are
// called only when their kinds are written, so they may be installed before the manager runs.
func (s *Server) installClusterAPI(ctx context.Context) (*clusterAPI, error) {
	capi := &clusterAPI{}
	diagnostics := 0
	for _, port := range []*int{&capi.webhook, &capi.health, &diagnostics} {
		var err error
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	certificates := s.file("capi-webhook")
	if err := s.writeServing(certificates); err != nil {
		return nil, err
	}
	if err := s.applyClusterAPI(ctx, capi.webhook); err != nil {
		return nil, err
	}
	capi.process = s.env.newProcess("capi-core-"+s.name, s.env.Binaries.ClusterAPI,
		"--kubeconfig="+s.KubeconfigFile(),
		"--webhook-cert-dir="+certificates,
		fmt.Sprintf("--webhook-port=%d", capi.webhook),
		fmt.Sprintf("--health-addr=%s:%d", loopback, capi.health),
		fmt.Sprintf("--diagnostics-address=%s:%d", loopback, diagnostics),
		"--insecure-diagnostics=true",
		// Nothing old is stored, and the migrator's writes would show up in what tests watch.
		"--skip-crd-migration-phases=StorageVersionMigration,CleanupManagedFields",
	)
	capi.process.env = []string{
		"POD_IP=" + loopback, "POD_NAMESPACE=" + clusterAPINamespace,
		"POD_NAME=capi-controller-manager", "POD_UID=00000000-0000-0000-0000-000000000001",
	}
	return capi, nil
}

// applyClusterAPI installs the core CRDs, the CRDs that stand for providers, and the webhooks, at a port.
func (s *Server) applyClusterAPI(ctx context.Context, port int) error {
	crds, err := CRDs(ctx, ClusterAPI)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := s.convertThrough(crd, port); err != nil {
			return err
		}
	}
	if err := s.Install(ctx, append(crds, contractCRD(infrastructureKind), contractCRD(controlPlaneKind))...); err != nil {
		return err
	}
	dirs, err := download(ctx, []Module{ClusterAPI})
	if err != nil {
		return err
	}
	webhooks, err := readManifests(dirs[0], "core/config/webhook/manifests.yaml")
	if err != nil {
		return err
	}
	for _, configuration := range webhooks {
		if err := s.admitThrough(configuration, port); err != nil {
			return err
		}
	}
	return s.Apply(ctx, append(webhooks, Namespace(clusterAPINamespace, nil))...)
}

// writeServing puts a serving certificate where webhook servers look for it.
func (s *Server) writeServing(dir string) error {
	serving, err := s.ca.serving()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.crt"), serving.certificate, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tls.key"), serving.key, 0o600)
}

// convertThrough sends the conversions of a CRD to a port of this machine.
func (s *Server) convertThrough(crd *unstructured.Unstructured, port int) error {
	return unstructured.SetNestedMap(crd.Object, map[string]any{
		"strategy": "Webhook",
		"webhook": map[string]any{
			"conversionReviewVersions": []any{"v1"},
			"clientConfig":             s.webhookClient(port, "/convert"),
		},
	}, "spec", "conversion")
}

// admitThrough sends the calls of a webhook configuration, which names a Service, to a port of this machine.
func (s *Server) admitThrough(configuration *unstructured.Unstructured, port int) error {
	configuration.SetName("capi-" + configuration.GetName())
	webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	if err != nil {
		return err
	}
	for _, webhook := range webhooks {
		w, ok := webhook.(map[string]any)
		if !ok {
			return fmt.Errorf("%q holds a webhook that is no object", configuration.GetName())
		}
		path, _, err := unstructured.NestedString(w, "clientConfig", "service", "path")
		if err != nil {
			return err
		}
		w["clientConfig"] = s.webhookClient(port, path)
	}
	return unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks")
}

func (s *Server) webhookClient(port int, path string) map[string]any {
	return map[string]any{
		"url":      fmt.Sprintf("https://%s:%d/%s", loopback, port, strings.TrimPrefix(path, "/")),
		"caBundle": base64Bytes(s.ca.pem),
	}
}
