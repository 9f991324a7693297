// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// WebhookMode says where the guard webhook of a cluster runs.
//
// +kubebuilder:validation:Enum=Off;Deploy;URL
type WebhookMode string

// The modes.
const (
	// WebhookOff: there is none. The policies stand, and what they cannot see is a gap.
	WebhookOff WebhookMode = "Off"
	// WebhookDeploy: the operator runs it in the cluster.
	WebhookDeploy WebhookMode = "Deploy"
	// WebhookURL: the platform runs it, and the API server reaches it by URL.
	WebhookURL WebhookMode = "URL"
)

// TextReader says who reads free text where the guard webhook acts.
//
// +kubebuilder:validation:Enum=All;Webhook
type TextReader string

// The readers.
const (
	// TextReaderAll: the policies read as much of it as they can, and the webhook reads all of it.
	TextReaderAll TextReader = "All"
	// TextReaderWebhook: the policies leave to the webhook what is refused while it is away.
	TextReaderWebhook TextReader = "Webhook"
)

// Condition and reasons of the guard webhook.
const (
	// ConditionWebhookActs: the guard webhook refused its last live proof in the Management
	// Cluster itself and in every Workload Cluster under it.
	ConditionWebhookActs = "WebhookActs"

	ReasonWebhookActs = "WebhookActs" // every guard webhook refused its last live proof
	ReasonWebhookAway = "WebhookAway" // the message names the clusters without one that answers
	ReasonWebhookOff  = "WebhookOff"  // spec.webhook.mode is Off: what only a webhook sees is not guarded
)

// Webhook says where the guard webhook runs in a ManagementCluster and in the Clusters under it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode != 'URL' || has(self.url)",message="url is required when mode is URL",fieldPath=".url"
// +kubebuilder:validation:XValidation:rule="has(self.mode) && self.mode == 'URL' || !has(self.url) && !has(self.urls) && !has(self.caBundle)",message="url, urls and caBundle are for mode URL"
type Webhook struct {
	// mode: Off, Deploy or URL. When omitted it is Deploy if the operator was given an image
	// for the webhook, else Off.
	// +optional
	Mode WebhookMode `json:"mode,omitempty"`

	// url that each API server reaches its webhook at, without path: every cluster has its
	// own webhook, so the host is one that means another machine to each of them, such as
	// 127.0.0.1 for a webhook that runs beside the API server.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?$')",message="must be https://HOST or https://HOST:PORT"
	URL string `json:"url,omitempty"`

	// urls of Clusters that are reached at another url, by NAMESPACE/NAME.
	// +optional
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=1000
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].size() <= 512 && self[k].matches('^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?$'))",message="each must be https://HOST or https://HOST:PORT"
	URLs map[string]WebhookAddress `json:"urls,omitempty"`

	// caBundle in PEM that the certificates of the urls are verified with. When omitted the
	// webhook has to serve the certificate that the operator writes to Secret
	// skott-guard-tls in namespace skott-system of its cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CABundle string `json:"caBundle,omitempty"`

	// exemptNamespaces are namespaces, beside those of the system, in which nothing is refused
	// while the webhook does not answer: those of network and storage drivers, without which
	// a cluster that starts anew could not run it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	ExemptNamespaces []string `json:"exemptNamespaces,omitempty"`

	// textReader says who reads free text, such as env values and the data of ConfigMaps: All,
	// the policies as far as they can and the webhook, or Webhook, the webhook alone wherever it is
	// refused for while it is away. That costs an API server far less, and takes the second
	// wall away. Fields that hold one address are read by both. When omitted it is All.
	// +optional
	TextReader TextReader `json:"textReader,omitempty"`
}

// WebhookAddress is a URL without path.
//
// +kubebuilder:validation:MaxLength=512
type WebhookAddress string

// EffectiveMode is where the webhook runs, given whether the operator has an image for it.
func (w *Webhook) EffectiveMode(image bool) WebhookMode {
	switch {
	case w != nil && w.Mode != "":
		return w.Mode
	case image:
		return WebhookDeploy
	}
	return WebhookOff
}

// URLOf is where the webhook of a Cluster is reached, by its namespace and name; both are
// empty for the ManagementCluster itself.
func (w *Webhook) URLOf(namespace, name string) string {
	if u, ok := w.URLs[namespace+"/"+name]; ok {
		return string(u)
	}
	return w.URL
}
