// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AddressType says what kind of place an address is.
//
// +kubebuilder:validation:Enum=Bucket;Host;CIDR;Volume;Snapshot;ClusterEndpoint;Registry;Git;SecretPath;Project;Credential
type AddressType string

// Conditions of a DataLocation, beside Ready.
const (
	// ConditionContested is True when an address of the location also belongs to another
	// Environment. It is still guarded, as of the stricter of the two.
	ConditionContested = "Contested"

	ReasonContested    = "Contested"    // the message names the other location
	ReasonNotContested = "NotContested" // no other location has any of the addresses
	ReasonShared       = "Shared"       // spec.shared: never a crossing by itself
)

// LabelOrigin says how Skott came to know a DataLocation; OriginLearned on those it wrote itself.
const (
	LabelOrigin   = "skott.dev/origin"
	OriginLearned = "learned"
)

// MaxOrigins is how many origins a DataLocation names; the rest it counts.
const MaxOrigins = 64

// Address is one place that can hold or reach data.
//
// The rules below accept exactly what internal/address parses; one corpus tests both.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'Bucket' || self.value.matches('^(?i)((s3|gs)://|aws/|gcs/|(https?://)?[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+[.]?(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?/)[a-z0-9][a-z0-9._-]*(/[a-z0-9._~%=+/-]*)?$')",message="must be ENDPOINT/BUCKET[/PREFIX] (with or without https://), s3://BUCKET[/PREFIX] or gs://BUCKET[/PREFIX]; an endpoint alone is not an address",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'Host' || (self.value.matches('^(?i)([*][.]|[a-z0-9]([a-z0-9-]*[a-z0-9])?[.])([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])*[a-z]([a-z0-9-]*[a-z0-9])?[.]?$') && !self.value.matches('^(?i)(.*[.])?(svc|cluster[.]local|localhost)[.]?$'))",message="must be a DNS name with at least two labels, or *.SUFFIX; names that mean nothing outside one cluster (svc, cluster.local, localhost) are not addresses, an IP belongs into type CIDR",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'CIDR' || self.value.matches('^(?i)([a-z0-9]([a-z0-9-]*[a-z0-9])?/)?([0-9]{1,3}[.][0-9.]+|[0-9a-f]*:[0-9a-f:]*)(/[0-9]{1,3})?$')",message="must be an IP, a CIDR, or DATACENTER/ followed by one",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'CIDR' || !self.value.matches('^(?i)([a-z0-9]([a-z0-9-]*[a-z0-9])?/)?([0-9]{1,3}[.][0-9.]+|[0-9a-f]*:[0-9a-f:]*)(/[0-9]{1,3})?$') || [self.value.matches('^[a-zA-Z0-9-]+/') ? self.value.substring(self.value.indexOf('/') + 1) : self.value].all(v, isCIDR(v) || isIP(v))",message="must hold an IP or a CIDR that parses",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'CIDR' || self.value.matches('^[a-zA-Z0-9-]+/') || !(isCIDR(self.value) || isIP(self.value)) || [isIP(self.value) ? cidr(self.value + (self.value.contains(':') ? '/128' : '/32')) : cidr(self.value)].all(v, ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', 'fc00::/7', 'fe80::/10', '::1/128'].all(r, !cidr(r).containsCIDR(v) && !v.containsCIDR(r)))",message="a private range needs its datacenter: DATACENTER/CIDR",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="!(self.type in ['Volume', 'Snapshot']) || self.value.matches('^(?i)[a-z0-9]([a-z0-9._-]*[a-z0-9])?/[!-~]*[!--0-~][!-~]*$')",message="must be DRIVER/HANDLE",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'ClusterEndpoint' || !self.value.contains(':') || self.value.matches('^(?i)((https?://)?[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*[.]?:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})|https?://[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*[.]?)/?$')",message="must be HOST[:PORT] or a URL of an API server, or NAMESPACE/NAME of a Cluster",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'ClusterEndpoint' || self.value.contains(':') || self.value.matches('^(?i)([a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+[.]?|(cluster/)?[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*)$')",message="must be HOST[:PORT] or a URL of an API server, or NAMESPACE/NAME of a Cluster",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'ClusterEndpoint' || !self.value.matches('^(?i)cluster/[^/]*$')",message="is ambiguous: a Cluster of namespace cluster is written cluster/cluster/NAME",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'Registry' || self.value.matches('^(?i)(https?://|oci://)?[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+[.]?(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?/[a-z0-9][a-z0-9._/-]*$')",message="must be REGISTRY/PROJECT; a registry alone is shared, name Host for it instead",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'Git' || self.value.matches('^(?i)(([a-z+]+://)?([^/@]+@)?[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+[.]?(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?/|git@[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+[.]?:)[a-z0-9._~%=+/-]*[a-z0-9_~%=+-][a-z0-9._~%=+/-]*$')",message="must be a Git URL, with the path in the repository behind it if any",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'SecretPath' || self.value.matches('^(?i)(https?://)?[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+[.]?(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?/[a-z0-9._~%=+/-]*[a-z0-9_~%=+-][a-z0-9._~%=+/-]*$')",message="must be STORE/PATH, the store by its host",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'Project' || self.value.matches('^(?i)[a-z][a-z0-9-]*/[a-z0-9][a-z0-9._:-]*$')",message="must be PROVIDER/ID",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="self.type != 'Credential' || self.value.matches('^(?i)hmac-sha256:[0-9a-f]{64}$')",message="must be hmac-sha256: and 64 hexadecimal digits, never a credential itself",fieldPath=".value"
type Address struct {
	// type of the place.
	// +required
	Type AddressType `json:"type,omitempty"`

	// value in any usual spelling of its type; compared without regard to ASCII case,
	// default ports, trailing dots and slashes.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[!-~]+$`
	Value string `json:"value,omitempty"`
}

// DataLocationSpec says which addresses belong to which Environment.
type DataLocationSpec struct {
	// environmentRef names the Environment that owns the addresses. Immutable.
	// +required
	EnvironmentRef EnvironmentReference `json:"environmentRef,omitzero"`

	// addresses of the location.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Addresses []Address `json:"addresses,omitempty"`

	// shared: the addresses are known to serve several Environments (a registry, an S3
	// endpoint), and naming one is never a crossing by itself. What lies below a shared
	// address may still belong to one Environment. When omitted it is false.
	// +optional
	Shared *bool `json:"shared,omitempty"`

	// retention is how long a learned address stays after it was last seen, such as the
	// backups that a deleted cluster leaves behind. Declared ones stay until they are
	// deleted. When omitted it is that of the operator, 180 days unless it was told otherwise.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Retention *metav1.Duration `json:"retention,omitempty"`
}

// DataLocationStatus is what Skott observes of the location.
type DataLocationStatus struct {
	// conditions: Ready, Contested.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// origins are the fields of objects that a learned address was seen in, the first 64.
	// One that is no longer there is kept until the retention has passed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Origins []Origin `json:"origins,omitempty"`

	// originCount is the number of all origins, named and not.
	// +optional
	// +kubebuilder:validation:Minimum=0
	OriginCount int32 `json:"originCount,omitempty"`

	// seen sums up the origins: the first one, and how many more there are.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Seen string `json:"seen,omitempty"`

	// firstSeen is when the address was seen first, of all origins that are named.
	// +optional
	FirstSeen *metav1.Time `json:"firstSeen,omitempty"`

	// lastSeen is when the address was seen last, or when that could last not be ruled out
	// because its cluster did not answer. While nothing changes it is written once a day.
	// +optional
	LastSeen *metav1.Time `json:"lastSeen,omitempty"`
}

// Origin is an object that an address was seen in.
type Origin struct {
	// managementCluster of the cluster that holds the object.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ManagementCluster string `json:"managementCluster,omitempty"`
	// cluster that holds the object, as namespace/name of the Cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	Cluster string `json:"cluster,omitempty"`
	// kind of the object, as Kind.group.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Kind string `json:"kind,omitempty"`
	// namespace of the object.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// path of the field.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path,omitempty"`
	// firstSeen is when the address was first seen there.
	// +optional
	FirstSeen *metav1.Time `json:"firstSeen,omitempty"`
	// lastSeen is when it was last seen there.
	// +optional
	LastSeen *metav1.Time `json:"lastSeen,omitempty"`
}

// DataLocation is a set of addresses that belong to one Environment.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=skott,shortName=skloc
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.spec.environmentRef.name`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.addresses[0].type`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.addresses[0].value`
// +kubebuilder:printcolumn:name="Origin",type=string,JSONPath=`.metadata.labels.skott\.dev/origin`
// +kubebuilder:printcolumn:name="Seen",type=string,JSONPath=`.status.seen`
// +kubebuilder:printcolumn:name="First",type=date,JSONPath=`.status.firstSeen`
// +kubebuilder:printcolumn:name="Last",type=date,JSONPath=`.status.lastSeen`
// +kubebuilder:printcolumn:name="Contested",type=string,JSONPath=`.status.conditions[?(@.type=="Contested")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,priority=10
// +kubebuilder:printcolumn:name="Shared",type=boolean,JSONPath=`.spec.shared`,priority=10
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,priority=10
type DataLocation struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which addresses belong to which Environment.
	// +required
	Spec DataLocationSpec `json:"spec,omitzero"`
	// status is what Skott observes of it.
	// +optional
	Status DataLocationStatus `json:"status,omitempty,omitzero"`
}

// DataLocationList is a list of DataLocations.
//
// +kubebuilder:object:root=true
type DataLocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DataLocation `json:"items"`
}

// GetConditions returns the conditions of the DataLocation.
func (d *DataLocation) GetConditions() []metav1.Condition { return d.Status.Conditions }

// SetConditions replaces the conditions of the DataLocation.
func (d *DataLocation) SetConditions(c []metav1.Condition) { d.Status.Conditions = c }
