package testenv

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldOwner is the name under which this package writes objects.
const fieldOwner = client.FieldOwner("testenv")

// Apply writes objects by server-side apply, in order, taking fields from other owners. Two documents of one call may
// depend on each other only if the server accepts the second at once; CRDs go through Install.
func (s *Server) Apply(ctx context.Context, objects ...*unstructured.Unstructured) error {
	for _, object := range objects {
		// The server returns the whole object; the caller's stays as it is.
		configuration := client.ApplyConfigurationFromUnstructured(object.DeepCopy())
		if err := s.client.Apply(ctx, configuration, fieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("cannot apply %s %q to server %q: %w", object.GetKind(), object.GetName(), s.name, err)
		}
	}
	return nil
}

// ApplyYAML is Apply for the documents of a YAML file.
func (s *Server) ApplyYAML(ctx context.Context, content []byte) error {
	objects, err := decodeManifests(content)
	if err != nil {
		return fmt.Errorf("cannot apply to server %q: %w", s.name, err)
	}
	return s.Apply(ctx, objects...)
}

// Install applies CRDs and waits until each is established, so that its objects can be created at once.
func (s *Server) Install(ctx context.Context, crds ...*unstructured.Unstructured) error {
	if err := s.Apply(ctx, crds...); err != nil {
		return err
	}
	return s.established(ctx, crds)
}

// established waits until the server serves the objects of each CRD.
func (s *Server) established(ctx context.Context, crds []*unstructured.Unstructured) error {
	for _, crd := range crds {
		current := crd.DeepCopy()
		err := poll(ctx, func(ctx context.Context) (bool, error) {
			if err := s.client.Get(ctx, client.ObjectKeyFromObject(crd), current); err != nil {
				return false, err
			}
			return conditionTrue(current, "Established"), nil
		})
		if err != nil {
			return fmt.Errorf("cannot establish CRD %q on server %q: %w", crd.GetName(), s.name, err)
		}
	}
	return nil
}

// conditionTrue reads status.conditions of any kind.
func conditionTrue(object *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, condition := range conditions {
		if c, ok := condition.(map[string]any); ok && c["type"] == kind {
			return c["status"] == "True"
		}
	}
	return false
}

// poll waits for a condition within readyTimeout. An error that says "not found" counts as not yet.
func poll(ctx context.Context, condition func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		done, err := condition(ctx)
		if meta.IsNoMatchError(err) || client.IgnoreNotFound(err) == nil {
			err = nil
		}
		return done, err
	})
}
