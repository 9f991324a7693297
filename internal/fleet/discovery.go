// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// discoveryRefresh is a little more than the 30 s for which an API server keeps the kinds
// that parameters of policies may be of.
const discoveryRefresh = 31 * time.Second

// awaitDiscovery waits until the API server is sure to know the kind of a new CRD. One that
// has looked kinds of parameters up before, because it holds other policies with
// parameters, would take ours to name a kind that does not exist, and refuse everything
// they match until it looks again.
func (l *loop) awaitDiscovery(ctx context.Context, crd *unstructured.Unstructured) error {
	left := unsure(crd, time.Now())
	if left <= 0 {
		return nil
	}
	policies := &unstructured.UnstructuredList{}
	policies.SetGroupVersionKind(kindPolicy)
	if err := l.link.account.operator.List(ctx, policies); err != nil {
		return fmt.Errorf("cannot list the policies of %q: %w", l.station.key(), err)
	}
	for i := range policies.Items {
		kind, _, _ := unstructured.NestedString(policies.Items[i].Object, "spec", "paramKind", "kind")
		if kind == "" || kind == kindGuard.Kind {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(left):
			return nil
		}
	}
	return nil
}

// unsure is for how long the API server may not know the kind of a CRD, as it was when it was applied. When it was
// created is told by the clock of the API server; one that is not established was created just now, by whatever clock.
func unsure(crd *unstructured.Unstructured, now time.Time) time.Duration {
	if !established(crd) {
		return discoveryRefresh
	}
	return min(discoveryRefresh-now.Sub(crd.GetCreationTimestamp().Time), discoveryRefresh)
}
