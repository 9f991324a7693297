// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Direction is the way data moves between an object and an address that it holds.
//
// +kubebuilder:validation:Enum=From;To;Names
type Direction string

// End marks a field of an object that names both ends of a movement itself.
//
// +kubebuilder:validation:Enum=Source;Destination
type End string

// Form says how the text at a path becomes an address: docs/design/0002-knowing-production.md
// has a table of them.
//
// +kubebuilder:validation:Enum=Text;Bucket;Object;Join;Image;Git;Store;Endpoint;Cluster;IP;Alias;Namespace;Encoded;Reference;Payload
type Form string

// Conditions of a MovementKind.
const (
	ReasonMovementKindInUse    = "InUse"        // every cluster reads it from its next revision on
	ReasonMovementKindRejected = "InvalidField" // the message names the field, and the position in it
)

// MovementField is a place in an object that names an address.
//
// +kubebuilder:validation:XValidation:rule="!has(self.form) || self.form != 'Reference' || has(self.to)",message="to is required when form is Reference",fieldPath=".to"
// +kubebuilder:validation:XValidation:rule="!has(self.to) || has(self.form) && self.form == 'Reference'",message="is only for form Reference",fieldPath=".to"
// +kubebuilder:validation:XValidation:rule="!has(self.form) || self.form != 'Join' || has(self.type)",message="type is required when form is Join",fieldPath=".type"
type MovementField struct {
	// path of the field, dotted: "spec.objectStorage.bucket". A step list[name] walks a list
	// and tells its elements by their field "name", list[*] walks one whose elements have no
	// name, map{*} walks the values of a map, annotations{example.com/x} is one key.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_$-]+([[]([*]|[A-Za-z0-9_-]+)[]]|[{]([*]|[^{}]+)[}])?([.][A-Za-z0-9_$-]+([[]([*]|[A-Za-z0-9_-]+)[]]|[{]([*]|[^{}]+)[}])?)*$')",message="is no path: expected NAME, LIST[NAME], LIST[*], MAP{*} or MAP{KEY}, with dots between them",messageExpression="'is no path behind \"' + self.find('^([A-Za-z0-9_$-]+([[]([*]|[A-Za-z0-9_-]+)[]]|[{]([*]|[^{}]+)[}])?[.])*[A-Za-z0-9_$-]*') + '\": expected NAME, LIST[NAME], LIST[*], MAP{*} or MAP{KEY}, with dots between them'"
	Path string `json:"path,omitempty"`

	// form says how the text at path becomes an address. When omitted it is Text.
	// +optional
	Form Form `json:"form,omitempty"`

	// type of the address. When omitted it follows from form.
	// +optional
	Type AddressType `json:"type,omitempty"`

	// direction in which data moves. When omitted it is Names.
	// +optional
	Direction Direction `json:"direction,omitempty"`

	// with are the paths of what belongs to the text, by what it is: endpoint, prefix and
	// provider of a Bucket, endpoint, suffix and otherwise of an Object, before and after of
	// a Join, path of Git and Store, port of an Endpoint, namespace of a Cluster, namespace
	// and kind of a Reference. With the name of a Reference, the text is no name but stands
	// below the repository or the secret store that the object of that name has, behind
	// prefix if there is one, and unless there is something at unless.
	// +optional
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=5
	With map[string]string `json:"with,omitempty"`

	// const is put in front of the text, for Join and Alias; for Bucket, it is the store that
	// the bucket is in without an endpoint, such as gcs.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Const string `json:"const,omitempty"`

	// to is the resource that a Reference names.
	// +optional
	To *MovementTarget `json:"to,omitempty"`

	// end marks the fields of an object that names both ends of a movement itself.
	// +optional
	End End `json:"end,omitempty"`

	// createOnly: only new objects are judged by this field.
	// +optional
	CreateOnly bool `json:"createOnly,omitempty"`

	// learn: the address belongs to the Environment that the object is in.
	// +optional
	Learn bool `json:"learn,omitempty"`
}

// MovementTarget is a resource.
type MovementTarget struct {
	// group of the resource; empty for the core group.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// resource is the plural name, in lower case.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource,omitempty"`
}

// MovementKindSpec says how objects of one kind move data.
//
// +kubebuilder:validation:XValidation:rule="!has(self.group) || !(self.group in ['skott.dev', 'coordination.k8s.io', 'events.k8s.io', 'authentication.k8s.io', 'authorization.k8s.io', 'apiregistration.k8s.io'])",message="must not be a group that a cluster needs to work, or Skott's own",fieldPath=".group"
// +kubebuilder:validation:XValidation:rule="has(self.fields) && size(self.fields) > 0 || has(self.podSpecs) && size(self.podSpecs) > 0 || has(self.hidden)",message="fields or podSpecs must say where an address stands, or hidden why none can be seen"
type MovementKindSpec struct {
	// group of the kind; empty for the core group.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be an API group; a MovementKind is about one kind, * would have to read every object of a cluster"
	Group string `json:"group,omitempty"`

	// kind as it stands in objects.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9]*$`
	Kind string `json:"kind,omitempty"`

	// resource is the plural name of the kind, in lower case.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][a-z0-9-]*$')",message="must be one resource in plural and lower case; * would have to read every object of a cluster"
	Resource string `json:"resource,omitempty"`

	// scope of the kind. When omitted it is Namespaced.
	// +optional
	// +kubebuilder:validation:Enum=Namespaced;Cluster
	Scope string `json:"scope,omitempty"`

	// versions of the kind that are known to have the fields, the preferred one first. Every
	// served version is read.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	Versions []string `json:"versions,omitempty"`

	// subresources through which the same object is written.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=63
	Subresources []string `json:"subresources,omitempty"`

	// podSpecs are the paths of pod specs in the object: each is read as that of a Pod.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=256
	PodSpecs []string `json:"podSpecs,omitempty"`

	// fields that name addresses.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Fields []MovementField `json:"fields,omitempty"`

	// hidden says, for people, what objects of the kind do not show.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Hidden string `json:"hidden,omitempty"`
}

// MovementKindStatus is what Skott makes of the kind.
type MovementKindStatus struct {
	// conditions: Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MovementKind is a kind of object that moves data, workloads or credentials. Skott has a
// table of those it knows (docs/movement-kinds.md); one applied to the Ops Cluster adds to it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=skott,shortName=skmk
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.kind`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.group`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MovementKind struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says how objects of the kind move data.
	// +required
	Spec MovementKindSpec `json:"spec,omitzero"`
	// status is what Skott makes of it.
	// +optional
	Status MovementKindStatus `json:"status,omitzero"`
}

// MovementKindList is a list of MovementKinds.
//
// +kubebuilder:object:root=true
type MovementKindList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MovementKind `json:"items"`
}

// GetConditions returns the conditions of the status.
func (k *MovementKind) GetConditions() []metav1.Condition { return k.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (k *MovementKind) SetConditions(c []metav1.Condition) { k.Status.Conditions = c }
