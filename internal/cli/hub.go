// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// origin says where the world comes from: a snapshot, or a cluster of the kubeconfig.
type origin struct {
	snapshot  string
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

// pageSize of lists.
const pageSize = 500

func (s *origin) bind(flags *pflag.FlagSet) {
	flags.StringVar(&s.snapshot, "snapshot", "", "File or folder to decide by instead of asking a cluster: what \"kubectl skott export\" wrote, manifests of a hub, or \"kubectl get guards -o yaml\" of a guarded cluster")
	s.rules = clientcmd.NewDefaultClientConfigLoadingRules()
	flags.StringVar(&s.rules.ExplicitPath, "kubeconfig", "", "Path to the kubeconfig file to use for CLI requests")
	// The names and the words are kubectl's. Its flags for credentials on the command line are left out.
	all := clientcmd.RecommendedConfigOverrideFlags("")
	clientcmd.BindOverrideFlags(&s.overrides, flags, clientcmd.ConfigOverrideFlags{
		AuthOverrideFlags:    clientcmd.AuthOverrideFlags{Impersonate: all.AuthOverrideFlags.Impersonate, ImpersonateGroups: all.AuthOverrideFlags.ImpersonateGroups},
		ContextOverrideFlags: all.ContextOverrideFlags,
		CurrentContext:       all.CurrentContext, Timeout: all.Timeout,
	})
}

// namespace that objects are in which name none.
func (s *origin) namespace() string {
	if s.snapshot != "" {
		if s.overrides.Context.Namespace != "" {
			return s.overrides.Context.Namespace
		}
		return metav1.NamespaceDefault
	}
	name, _, err := s.config().Namespace()
	if err != nil || name == "" {
		return metav1.NamespaceDefault
	}
	return name
}

func (s *origin) config() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(s.rules, &s.overrides)
}

// What is asked of a cluster.
type want int

const (
	wantHub    want = iota // the objects of the hub
	wantGuards             // the Guards of the cluster, whose API server is meant
)

// load reads the world.
func (s *origin) load(ctx context.Context, what want, streams Streams) (*world, error) {
	w, err := s.read(ctx, what, streams.In)
	if err != nil {
		return nil, err
	}
	_, warnings := w.rules()
	for _, warning := range warnings {
		_, _ = fmt.Fprintln(streams.Err, "warning: "+warning)
	}
	return w, nil
}

func (s *origin) read(ctx context.Context, what want, stdin io.Reader) (*world, error) {
	if s.snapshot != "" {
		return readSnapshot(s.snapshot, stdin)
	}
	config, err := s.config().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot reach a cluster: %w; or give --snapshot", err)
	}
	config.UserAgent = "kubectl-skott/" + version()
	config.QPS, config.Burst = 50, 100
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s: %w", config.Host, err)
	}
	w := &world{source: "the cluster at " + config.Host}
	resources := []string{"environments", "databoundaries", "datalocations", "managementclusters", "movementkinds"}
	if what == wantGuards {
		resources = []string{"guards"}
	}
	for _, resource := range resources {
		err := w.list(ctx, client, resource)
		// A hub of an earlier version serves no MovementKind.
		if err != nil && (resource != "movementkinds" || !apierrors.IsNotFound(err)) {
			return nil, fmt.Errorf("cannot list %s.%s of %s: %w", resource, skottv1.GroupVersion.Group, w.source, explained(err, what))
		}
	}
	if what == wantGuards && len(w.guards) == 0 {
		return nil, fmt.Errorf("%s holds no Guard: Skott does not guard it; name the cluster that is meant with --as-cluster, or --environment", w.source)
	}
	return w, w.complete()
}

// explained says what usually is the matter.
func explained(err error, what want) error {
	switch {
	case !apierrors.IsNotFound(err):
		return err
	case what == wantGuards:
		return errors.New("it serves no such kind: Skott does not guard this cluster; with the kubeconfig of the hub, name the cluster that is meant with --as-cluster or --environment")
	}
	return errors.New("it serves no such kind: this is no hub of Skott; choose another --context, or give --snapshot")
}

// list adds all objects of a resource, page by page.
func (w *world) list(ctx context.Context, client dynamic.Interface, resource string) error {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := client.Resource(skottv1.GroupVersion.WithResource(resource)).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range page.Items {
			if err := w.add(page.Items[i].Object, false); err != nil {
				return fmt.Errorf("%s %q: %w", page.Items[i].GetKind(), page.Items[i].GetName(), err)
			}
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}
