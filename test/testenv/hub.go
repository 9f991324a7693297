// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// HubClient is an uncached client of the administrator that knows Skott's kinds. A request takes no longer than a
// timeout, unless that is 0.
func (s *Server) HubClient(timeout time.Duration) (client.Client, error) {
	config := s.Config()
	config.Timeout = timeout
	return ClientOf(config)
}

// ClientOf is an uncached client that knows Skott's kinds beside the built-in ones.
func ClientOf(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := skottv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// BackupStorageLocations is the kind of Velero that names a bucket.
func BackupStorageLocations(ctx context.Context) ([]*unstructured.Unstructured, error) {
	velero := Velero
	velero.Files = []string{"config/crd/v1/bases/velero.io_backupstoragelocations.yaml"}
	return CRDs(ctx, velero)
}

// Parse reads one object. What a test holds is valid YAML, or the test is wrong.
func Parse(text string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		panic(err)
	}
	return u
}
