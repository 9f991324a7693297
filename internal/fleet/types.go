// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

// RoleWorkload is the role of a Cluster API Cluster. No ManagementCluster can have it.
const RoleWorkload skottv1.Role = "Workload"

// Target is one API server to engage: what a ManagementCluster says, resolved.
type Target struct {
	// Name of the ManagementCluster.
	Name string
	// Created is when the ManagementCluster was created. Of two that lead to one API server
	// the older keeps it, so that a new object cannot take a cluster over.
	Created time.Time
	// Environment, Stage and Datacenter become labels of the Clusters.
	Environment, Stage, Datacenter string
	// Role of the cluster: Management or Ops.
	Role skottv1.Role
	// Config holds the given credentials. They are used to create Skott's own account and
	// to probe; all other work is done as that account.
	Config *rest.Config
	// InCluster: Config already is Skott's own account, installed with the operator.
	InCluster bool
	// NoReports: nothing that is found is reported in the clusters, and what was is deleted.
	NoReports bool
}

// Desired is what a guarded cluster must hold. The fleet does not change it.
type Desired struct {
	// Revision must change whenever anything else in here does.
	Revision string
	// Guards, Policies and Bindings are all of Skott's that are to be there: others are deleted.
	// The revision of a Guard must change whenever anything else of it does, but for its cluster.
	Guards   []*skottv1.Guard
	Policies []*admissionv1.ValidatingAdmissionPolicy
	Bindings []*admissionv1.ValidatingAdmissionPolicyBinding
	// Canaries prove Revision. Without any, a cluster is never Enforced.
	Canaries []Canary
	// Webhook is the guard webhook; nil if there is to be none. Nothing of the above waits
	// for it.
	Webhook *Webhook
}

// Canary is a request that must be denied. It is sent as a dry run, by an account that RBAC
// lets through. Kinds: Pod, ConfigMap, Service, Secret, PersistentVolumeClaim, and for
// patches Namespace and Guard.
type Canary struct {
	// Family names what the canary proves.
	Family string
	// Guard whose address it names, and which it therefore proves as well; "" if it names none.
	Guard string
	// Object to create, or the merge patch for the existing object of its name.
	Object *unstructured.Unstructured
	// Patch instead of create.
	Patch bool
	// Want must occur in the text of the denial, such as the revision.
	Want string
}

// Observer hears what happens. Its methods are called from many goroutines, and must not
// block or call back into the Fleet. Clusters are named by Cluster.Key.
type Observer interface {
	// Restored: somebody changed or deleted an object of Skott, and it was put back.
	Restored(cluster, kind, name string)
	// CanaryAdmitted: an API server let a canary through.
	CanaryAdmitted(cluster, family string)
	// Canary is the result of one canary in a proof, with the time of its last request.
	Canary(cluster, family string, denied bool, took time.Duration)
	// Changed: State would return something else than before.
	Changed()
}

// Options of a Fleet. Durations that are zero take the default.
type Options struct {
	// Namespace of Skott's accounts in every guarded cluster. Default skott-system.
	Namespace string
	// GuardCRD defines the kind Guard in guarded clusters.
	GuardCRD *apiextensionsv1.CustomResourceDefinition
	// CanaryInterval between two proofs of an unchanged cluster. Default 60 s.
	CanaryInterval time.Duration
	// ProbeInterval between two looks whether a Management Cluster answers. Default 10 s.
	ProbeInterval time.Duration
	// CertificateLife is how long a certificate of a guard webhook is valid; it is renewed
	// when a third of that is left. Default a year.
	CertificateLife time.Duration
	// SurveyInterval between two looks at the security measures of a cluster. Default 5 min.
	SurveyInterval time.Duration
	// ScanInterval between two rounds over everything in a cluster that does not change. Default 10 min.
	ScanInterval time.Duration
	// Timeout of every request. Default 10 s.
	Timeout time.Duration
	// Observer hears what happens; nil is allowed.
	Observer Observer
	// Inspect names the fields that make a CustomResourceDefinition, as decoded JSON, look as
	// if its kind moved data. Those that Governs knows, by group and resource, are not read.
	// Nil for both: no definition is.
	Inspect func(definition map[string]any) []string
	Governs func(group, resource string) bool
	// Learned is called when Learned would return something else than before; nil is
	// allowed. It must not block or call back into the Fleet.
	Learned func()
}

// What was observed is defined in package status, which judges it.
type (
	// Phase says how far the guard of a cluster is.
	Phase = status.Phase
	// GuardState is what is known of the guard of a cluster.
	GuardState = status.GuardState
	// Cluster is one API server to guard.
	Cluster = status.Cluster
	// Member is what is known of one engaged ManagementCluster.
	Member = status.Member
)

// The phases, as in package status.
const (
	Unknown        = status.Unknown
	Unreachable    = status.Unreachable
	NotGuardable   = status.NotGuardable
	Publishing     = status.Publishing
	Published      = status.Published
	Enforced       = status.Enforced
	CanaryAdmitted = status.CanaryAdmitted
)
