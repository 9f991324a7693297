// SPDX-License-Identifier: Apache-2.0

package status

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// Phase says how far the guard of a cluster is.
type Phase string

// The phases.
const (
	// Unknown: nothing was tried yet; the reason says what is waited for.
	Unknown Phase = "Unknown"
	// Unreachable: the API server does not answer, or refuses the credentials. What it
	// holds keeps acting.
	Unreachable Phase = "Unreachable"
	// NotGuardable: the API server cannot hold admission policies, or another cluster of
	// the fleet is the same API server under a contradicting Environment.
	NotGuardable Phase = "NotGuardable"
	// Publishing: the desired revision is not there completely.
	Publishing Phase = "Publishing"
	// Published: the desired revision is there, and not proved.
	Published Phase = "Published"
	// Enforced: every canary of the desired revision was denied.
	Enforced Phase = "Enforced"
	// CanaryAdmitted: the API server let a canary through.
	CanaryAdmitted Phase = "CanaryAdmitted"
)

// GuardState is what is known of the guard of a cluster.
type GuardState struct {
	// Phase, with a Reason of the API and a Message for people, which may be empty.
	Phase   Phase
	Reason  string
	Message string
	// Revision that was applied last, completely.
	Revision string
	// ProvedRevision is the last one whose canaries were all denied, at ProvedAt.
	ProvedRevision string
	ProvedAt       time.Time
	// Since is when Phase was entered; Publishing and Published count as one.
	Since time.Time
}

// Enter sets the phase; now is kept as Since when the phase is another one.
func (g *GuardState) Enter(now time.Time, phase Phase, reason, message string) {
	under := func(p Phase) bool { return p == Publishing || p == Published }
	if g.Phase != phase && (!under(g.Phase) || !under(phase)) {
		g.Since = now
	}
	g.Phase, g.Reason, g.Message = phase, reason, message
}

// WebhookPhase says whether the guard webhook of a cluster acts.
type WebhookPhase string

// The phases of a webhook.
const (
	// WebhookUnknown: it was not looked for yet.
	WebhookUnknown WebhookPhase = ""
	// WebhookOff: there is to be none.
	WebhookOff WebhookPhase = "Off"
	// WebhookActs: it denied its last canary.
	WebhookActs WebhookPhase = "Acts"
	// WebhookAway: it did not. What is refused while it is away stays refused.
	WebhookAway WebhookPhase = "Away"
)

// WebhookState is what is known of the guard webhook of a cluster.
type WebhookState struct {
	// Phase says whether it acts, Message why not.
	Phase   WebhookPhase
	Message string
	// ProvedRevision is the last one whose canary it denied.
	ProvedRevision string
	// Closed is the digest of the configuration by which the API server refuses what it cannot ask the webhook
	// about, once the webhook has acted by it; "" if there is none.
	Closed string
	// Since is when Phase was entered.
	Since time.Time
}

// Enter sets the phase; now is kept as Since when the phase is another one.
func (w *WebhookState) Enter(now time.Time, phase WebhookPhase, message string) {
	if w.Phase != phase {
		w.Since = now
	}
	w.Phase, w.Message = phase, message
}

// Cluster is one API server to guard: the one of a ManagementCluster itself, or of a Cluster
// under it.
type Cluster struct {
	// ManagementCluster by name.
	ManagementCluster string
	// Namespace and Name of the Cluster; empty for the ManagementCluster itself.
	Namespace, Name string
	// Role decides which policies it holds.
	Role skottv1.Role
	// Endpoint is host:port of the API server.
	Endpoint string
	// UID of its namespace kube-system, which identifies it; empty until it answered.
	UID types.UID
	// Labelled: the Cluster carries the labels of its ManagementCluster.
	Labelled bool
	// HasKubeconfig: Cluster API has written the Secret that leads to the cluster.
	HasKubeconfig bool
	// GuardedAs is the Key of the cluster that stands for the same API server and is
	// guarded for this one (a self-managed Management Cluster is a Cluster too). Guard is
	// then a copy of that one's.
	GuardedAs string
	Guard     GuardState
	// Learned: everything in it that addresses are learned from was listed, and is followed.
	Learned bool
	// LearnGaps are the kinds that cannot be learned from, with the reason, sorted.
	LearnGaps []string
	// Webhook is the guard webhook, which sees what the policies cannot.
	Webhook WebhookState
	// Namespaces that are labelled with an Environment of their own, with its name.
	Namespaces map[string]string
	// Ungoverned are the kinds in it that look as if they moved data and are in no table of
	// the project, sorted.
	Ungoverned []Ungoverned
	// OwnNodes are those of them whose pods run on nodes of their own, sorted.
	OwnNodes []string
	// Measures are its security measures; nil until they were read. They are never changed.
	Measures *Measures
	// Scan is what the last round of the scan found in it; nil if nothing was scanned yet.
	Scan *Scan
	// Groups are the API groups that the cluster serves, sorted; nil until they are known.
	Groups []string
}

// Another is a cluster under the same name, with another API server: nothing that was seen in the old one is
// known of it, neither that it is guarded nor that nothing in it crosses.
func (c Cluster) Another() Cluster {
	return Cluster{
		ManagementCluster: c.ManagementCluster, Namespace: c.Namespace, Name: c.Name, Role: c.Role, Endpoint: c.Endpoint,
		Labelled: c.Labelled, HasKubeconfig: c.HasKubeconfig, GuardedAs: c.GuardedAs, Guard: GuardState{Phase: Unknown},
	}
}

// Measure is one security measure of a cluster.
type Measure struct {
	// Kind of the object, and its name; of what a namespace has, the name of the namespace.
	Kind, Name string
	// Strength tells a stronger one from a weaker one of the same kind; 1 at least.
	Strength int
	// Says is the strength in a word, "" where there is but one.
	Says string
}

// Measures are the security measures of a cluster, as far as they could be read.
type Measures struct {
	// All of them, sorted by kind and name.
	All []Measure
	// Namespaces of the cluster: what one has can be missing only where there is one.
	Namespaces map[string]bool
	// Gaps are the kinds that could not be read, with the reason.
	Gaps map[string]string
}

// Ungoverned is a kind that looks as if it moved data, and is in no table.
type Ungoverned struct {
	Group, Kind, Resource string
	// Fields that make it look so.
	Fields []string
}

// Key names the cluster uniquely in the fleet: MANAGEMENTCLUSTER or
// MANAGEMENTCLUSTER/NAMESPACE/NAME.
func (c Cluster) Key() string {
	if c.Name == "" {
		return c.ManagementCluster
	}
	return c.ManagementCluster + "/" + c.Namespace + "/" + c.Name
}

// Member is what is known of one engaged ManagementCluster.
type Member struct {
	Name string
	// UID of namespace kube-system; empty until the API server answered once.
	UID types.UID
	// Reachable: the last probe with the given credentials succeeded. Reason is one of
	// those of the condition Reachable.
	Reachable       bool
	Reason, Message string
	// Version of Kubernetes.
	Version string
	// ClusterAPIVersions that are served, and whether the one that Skott reads is.
	ClusterAPIVersions []string
	ClusterAPIServed   bool
	// Duplicate names the member that keeps this API server; "" when this one does.
	Duplicate string
	// Self is the Management Cluster as a guarded cluster.
	Self Cluster
	// Clusters under it, sorted by namespace and name.
	Clusters []Cluster
	// ClustersListed: Clusters are all there are. Until then, as after a start of the
	// operator, one that is missing was perhaps only not seen yet.
	ClustersListed bool
}
