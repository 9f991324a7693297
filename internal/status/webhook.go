// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// webhooksAct is about what only a webhook sees. Guarded does not ask for it.
func webhooksAct(mc *skottv1.ManagementCluster, m *Member) verdict {
	var away []string
	off, unknown, total := 0, 0, 0
	for _, c := range append([]Cluster{m.Self}, m.Clusters...) {
		total++
		switch c.Webhook.Phase {
		case WebhookOff:
			off++
		case WebhookActs:
		case WebhookAway:
			away = append(away, nameOf(c)+" ("+c.Webhook.Message+")")
		default:
			unknown++
			away = append(away, nameOf(c)+" (not looked for yet)")
		}
	}
	switch {
	case unknown == total || !m.ClustersListed && len(away) == 0:
		return unclear(skottv1.ReasonWaitingForConnection, "no guard webhook was looked for yet")
	case off == total && mc.Spec.Webhook.EffectiveMode(false) == skottv1.WebhookDeploy:
		return no(skottv1.ReasonWebhookOff, "spec.webhook.mode is Deploy, and the operator was not given an image (--guard-image)")
	case off == total:
		return no(skottv1.ReasonWebhookOff, "there is no guard webhook: what the policies cannot see is not guarded (docs/coverage.md)")
	case len(away) > 0:
		return no(skottv1.ReasonWebhookAway, fmt.Sprintf("%d of %d clusters have no guard webhook that acts: %s", len(away), total, Names(away)))
	}
	return yes(skottv1.ReasonWebhookActs, fmt.Sprintf("%d of %d guard webhooks refused their last live proof", total-off, total))
}
