// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/internal/status"
)

func TestTextNamespaces(t *testing.T) {
	boundary := func(action skottv1.Action) *policy.Policy {
		return policy.New(policy.Snapshot{
			Environments: []skottv1.Environment{{ObjectMeta: metav1.ObjectMeta{Name: "production"}, Spec: skottv1.EnvironmentSpec{Stage: skottv1.StageProduction}}},
			Boundaries: []skottv1.DataBoundary{{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: skottv1.DataBoundarySpec{
				BoundaryRule: skottv1.BoundaryRule{Action: action}}}},
		})
	}
	alone := func(mode skottv1.WebhookMode) *skottv1.Webhook {
		return &skottv1.Webhook{Mode: mode, TextReader: skottv1.TextReaderWebhook, ExemptNamespaces: []string{"rook-ceph"}}
	}
	left := []string{"kube-node-lease", "kube-system", "rook-ceph", "skott-system"}
	for name, test := range map[string]struct {
		spec   *skottv1.Webhook
		image  string
		open   bool
		of     []string // the exempt namespaces of the configuration that stands
		action skottv1.Action
		want   []string
	}{
		"told to":                        {spec: alone(skottv1.WebhookURL), of: []string{"rook-ceph"}, want: left},
		"by another configuration":       {spec: alone(skottv1.WebhookURL), of: []string{"rook-ceph", "x"}},
		"deployed":                       {spec: alone(""), image: "i", of: []string{"rook-ceph"}, want: left},
		"nothing said":                   {},
		"nothing said of it":             {spec: &skottv1.Webhook{Mode: skottv1.WebhookURL}},
		"both":                           {spec: &skottv1.Webhook{Mode: skottv1.WebhookURL, TextReader: skottv1.TextReaderAll}},
		"off":                            {spec: alone(skottv1.WebhookOff), image: "i"},
		"no image to deploy":             {spec: alone(skottv1.WebhookDeploy)},
		"it may be passed":               {spec: alone(skottv1.WebhookURL), open: true},
		"no boundary denies":             {spec: alone(skottv1.WebhookURL), of: []string{"rook-ceph"}, action: skottv1.ActionAudit},
		"no boundary denies, and a warn": {spec: alone(skottv1.WebhookURL), of: []string{"rook-ceph"}, action: skottv1.ActionWarn},
	} {
		t.Run(name, func(t *testing.T) {
			if test.action == "" {
				test.action = skottv1.ActionDeny
			}
			w := webhooks{image: test.image, specs: map[string]*skottv1.Webhook{"mc": test.spec}, digests: &sync.Map{}}
			c := status.Cluster{ManagementCluster: "mc"}
			p := boundary(test.action)
			if !test.open {
				decide, _ := p.Rules().Webhooks(append([]string{}, test.of...), true)
				c.Webhook.Closed = configurationDigest(decide)
			}
			if diff := cmp.Diff(test.want, w.textNamespaces(c, p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
