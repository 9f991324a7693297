// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/internal/status"
)

// webhooks says where the guard webhooks of the fleet run.
type webhooks struct {
	// image of the webhook that the operator deploys; "" if it was given none.
	image string
	specs map[string]*skottv1.Webhook // by ManagementCluster, where it says anything
	// secrets may be read there, by ManagementCluster.
	secrets map[string]bool
	// digests of the configurations that close, by ManagementCluster, as they are asked for.
	digests *sync.Map
	// key of fingerprints; nil where no Secret may be read.
	key []byte
}

// of is the guard webhook of a cluster, or nil if there is to be none.
func (w *webhooks) of(c status.Cluster, decided *policy.Policy, guards []*skottv1.Guard) *fleet.Webhook {
	spec := w.specs[c.ManagementCluster]
	mode := w.mode(spec)
	if mode == skottv1.WebhookOff {
		return nil
	}
	out := &fleet.Webhook{Image: w.image}
	var exempt []string
	if spec != nil {
		exempt = spec.ExemptNamespaces
	}
	if mode == skottv1.WebhookURL {
		out.Image, out.URL, out.CABundle = "", spec.URLOf(c.Namespace, c.Name), []byte(spec.CABundle)
	}
	rules := decided.Rules()
	out.Configuration, out.Probe = rules.Webhooks(exempt, decided.Denies())
	out.Digest = configurationDigest(out.Configuration)
	out.Reads = rules.Reads(w.secrets[c.ManagementCluster])
	out.Key = w.key
	acts, answers := policy.WebhookCanaries(guards)
	out.Answers = fleet.Canary(answers)
	for _, canary := range acts {
		out.Acts = append(out.Acts, fleet.Canary(canary))
	}
	return out
}

// mode is where the webhook runs, if it can.
func (w *webhooks) mode(spec *skottv1.Webhook) skottv1.WebhookMode {
	mode := spec.EffectiveMode(w.image != "")
	if mode == skottv1.WebhookDeploy && w.image == "" {
		return skottv1.WebhookOff
	}
	return mode
}

// textNamespaces are those in which alone the policies read free text, or nil if it is everywhere: only
// where the API server refuses what it cannot ask the webhook about may they leave it to that.
func (w *webhooks) textNamespaces(c status.Cluster, decided *policy.Policy) []string {
	spec := w.specs[c.ManagementCluster]
	if spec == nil || spec.TextReader != skottv1.TextReaderWebhook || w.mode(spec) == skottv1.WebhookOff || !decided.Denies() || c.Webhook.Closed == "" {
		return nil
	}
	wanted, known := w.digests.Load(c.ManagementCluster)
	if !known {
		decide, _ := decided.Rules().Webhooks(spec.ExemptNamespaces, true)
		wanted, _ = w.digests.LoadOrStore(c.ManagementCluster, configurationDigest(decide))
	}
	if c.Webhook.Closed != wanted {
		return nil // it stands for another one
	}
	return policy.TextNamespaces(spec.ExemptNamespaces)
}

// configurationDigest identifies what a configuration asks the webhook about, and what happens if it does not answer.
func configurationDigest(c *admissionv1.ValidatingWebhookConfiguration) string {
	content, _ := json.Marshal(c.Webhooks) // nothing of it cannot be encoded
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}
