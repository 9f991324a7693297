// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"net/url"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

const (
	// guardAccount is the account, and the name, of the webhook in a guarded cluster.
	guardAccount = "skott-guard"
	// webhookRole is what the operator's account may do for the webhook there.
	webhookRole = "skott-guard-operator"
	// certificateSecret holds the serving certificate.
	certificateSecret = "skott-guard-tls"
	// keySecret holds what the webhook makes fingerprints of credentials with, at keyOfKey.
	keySecret = "skott-guard-key"
	keyOfKey  = "key"

	guardPort   = 9443
	servicePort = 443
	// reviewPath is webhook.Path.
	reviewPath = "/review"
	// guardGrace is longer than the webhook drains and finishes.
	guardGrace = 40
)

// Webhook is the guard webhook that a cluster must hold.
type Webhook struct {
	// Image to run in the cluster; "" if the platform runs the webhook at URL.
	Image string
	// URL without path, and the authorities it is verified with; without any, it serves the
	// certificate in the Secret.
	URL      string
	CABundle []byte
	// Key to make fingerprints of credentials with; nil: it looks for none.
	Key []byte
	// Reads are resources that it reads beside Guards and Namespaces.
	Reads []schema.GroupResource
	// Configuration that makes it decide, and Probe that lets it be asked. Where the webhook
	// is, the fleet fills in.
	Configuration, Probe *admissionv1.ValidatingWebhookConfiguration
	// Digest identifies what Configuration asks about: once the webhook has acted by it, Cluster.Webhook.Closed is that.
	Digest string
	// Acts is denied while the webhook acts, Answers while it answers. Their families are the
	// names of the webhooks that deny them.
	Acts    []Canary
	Answers Canary
}

// names that the certificate is for; none if it is not ours.
func (w *Webhook) names(namespace string) []string {
	if w.URL == "" {
		return []string{guardAccount + "." + namespace + ".svc"}
	}
	if u, err := url.Parse(w.URL); err == nil && len(w.CABundle) == 0 {
		return []string{u.Hostname()}
	}
	return nil
}

// at is a configuration with the place of the webhook.
func (w *Webhook) at(configuration *admissionv1.ValidatingWebhookConfiguration, namespace string, bundle []byte) *admissionv1.ValidatingWebhookConfiguration {
	out := configuration.DeepCopy()
	where := admissionv1.WebhookClientConfig{CABundle: bundle}
	if w.URL != "" {
		where.URL = ptr.To(w.URL + reviewPath)
	} else {
		where.Service = &admissionv1.ServiceReference{Namespace: namespace, Name: guardAccount, Path: ptr.To(reviewPath), Port: ptr.To[int32](servicePort)}
	}
	for i := range out.Webhooks {
		out.Webhooks[i].ClientConfig = where
	}
	return out
}

func namedIn(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}}
}

// grants are the account of the webhook, with what it may read, and what the operator may do
// for it. They are written with the given credentials, as every right of Skott's is. The
// operator cannot widen them by itself.
func (w *Webhook) grants(namespace string) []client.Object {
	operator := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: operatorAccount}}
	guard := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: guardAccount}}
	out := []client.Object{&corev1.ServiceAccount{ObjectMeta: namedIn(namespace, guardAccount), AutomountServiceAccountToken: ptr.To(false)}}
	for _, g := range []struct {
		name           string
		to             []rbacv1.Subject
		cluster, local []rbacv1.PolicyRule
	}{
		{guardAccount, guard, w.guardClusterRules(), guardRules()},
		{webhookRole, operator, webhookClusterRules(w), webhookRules()},
	} {
		out = append(out,
			&rbacv1.ClusterRole{ObjectMeta: namedIn("", g.name), Rules: g.cluster},
			&rbacv1.ClusterRoleBinding{ObjectMeta: namedIn("", g.name), Subjects: g.to,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: g.name}},
			&rbacv1.Role{ObjectMeta: namedIn(namespace, g.name), Rules: g.local},
			&rbacv1.RoleBinding{ObjectMeta: namedIn(namespace, g.name), Subjects: g.to,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: g.name}},
		)
	}
	return out
}

var watching = []string{"get", "list", "watch"}

func (w *Webhook) guardClusterRules() []rbacv1.PolicyRule {
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{skottv1.GroupVersion.Group}, Resources: []string{"guards"}, Verbs: watching},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: watching},
	}
	for _, r := range w.Reads { // one object by name, as another one names it
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{r.Resource}, Verbs: []string{"get"}})
	}
	return rules
}

func guardRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: watching, ResourceNames: []string{certificateSecret, keySecret}}}
}

// webhookClusterRules: RBAC cannot restrict create by name, nor list and watch by label.
func webhookClusterRules(w *Webhook) []rbacv1.PolicyRule {
	group, resources := []string{"admissionregistration.k8s.io"}, []string{"validatingwebhookconfigurations"}
	return []rbacv1.PolicyRule{
		{APIGroups: group, Resources: resources, Verbs: []string{"list", "watch", "create"}},
		{APIGroups: group, Resources: resources, Verbs: []string{"get", "update", "patch", "delete"},
			ResourceNames: []string{w.Configuration.Name, w.Probe.Name}},
	}
}

func webhookRules() []rbacv1.PolicyRule {
	change := []string{"get", "update", "patch", "delete"}
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: append([]string{"list", "watch"}, change...), ResourceNames: []string{certificateSecret, keySecret}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
	}
	for _, r := range []schema.GroupResource{{Resource: "services"}, {Group: "apps", Resource: "deployments"}, {Group: "policy", Resource: "poddisruptionbudgets"}} {
		rules = append(rules,
			rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{r.Resource}, Verbs: []string{"list", "watch", "create"}},
			rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{r.Resource}, Verbs: change, ResourceNames: []string{guardAccount}})
	}
	return rules
}

// key is the Secret with the key.
func (w *Webhook) key(namespace string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: namedIn(namespace, keySecret), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{keyOfKey: w.Key}}
}

var guardLabels = map[string]string{"app.kubernetes.io/name": guardAccount}

// workload is what runs the webhook in the cluster; nothing if the platform runs it.
func (w *Webhook) workload(namespace string) []client.Object {
	if w.URL != "" {
		return nil
	}
	return []client.Object{
		&corev1.Service{ObjectMeta: namedIn(namespace, guardAccount), Spec: corev1.ServiceSpec{
			Selector: guardLabels,
			Ports:    []corev1.ServicePort{{Name: "webhook", Port: servicePort, TargetPort: intstr.FromString("webhook"), Protocol: corev1.ProtocolTCP}},
		}},
		&policyv1.PodDisruptionBudget{ObjectMeta: namedIn(namespace, guardAccount), Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: guardLabels},
			// A pod that is not ready serves nobody, and must not keep a node from being drained.
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
		}},
		w.deployment(namespace),
	}
}

func (w *Webhook) deployment(namespace string) *appsv1.Deployment {
	none, one := intstr.FromInt32(0), intstr.FromInt32(1)
	return &appsv1.Deployment{ObjectMeta: namedIn(namespace, guardAccount), Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To[int32](2),
		Selector: &metav1.LabelSelector{MatchLabels: guardLabels},
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &one}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: guardLabels}, Spec: w.podSpec(namespace)},
	}}
}

// podSpec fits the restricted Pod Security level, and spreads the replicas over nodes and zones as far
// as there are any.
func (w *Webhook) podSpec(namespace string) corev1.PodSpec {
	spread := func(key string) corev1.TopologySpreadConstraint {
		return corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: guardLabels}}
	}
	return corev1.PodSpec{
		ServiceAccountName: guardAccount, AutomountServiceAccountToken: ptr.To(true), EnableServiceLinks: ptr.To(false),
		PriorityClassName: "system-cluster-critical", TerminationGracePeriodSeconds: ptr.To[int64](guardGrace),
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), RunAsGroup: ptr.To[int64](65532),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{spread(corev1.LabelHostname), spread(corev1.LabelTopologyZone)},
		Containers: []corev1.Container{{
			Name: "guard", Image: w.Image,
			Args: []string{"guard", "--namespace=" + namespace, "--certificate-secret=" + certificateSecret, "--key-secret=" + keySecret},
			Env:  []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "450MiB"}},
			Ports: []corev1.ContainerPort{
				{Name: "webhook", ContainerPort: guardPort, Protocol: corev1.ProtocolTCP},
				{Name: "metrics", ContainerPort: 8080, Protocol: corev1.ProtocolTCP},
				{Name: "probes", ContainerPort: 8081, Protocol: corev1.ProtocolTCP},
			},
			LivenessProbe:  probe("/healthz", 20),
			ReadinessProbe: probe("/readyz", 2),
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
			},
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), Privileged: ptr.To(false),
				ReadOnlyRootFilesystem: ptr.To(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		}},
	}
}

// probe: the webhook drains for longer than it takes to notice that it is not ready.
func probe(path string, period int32) *corev1.Probe {
	return &corev1.Probe{PeriodSeconds: period, TimeoutSeconds: 2,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("probes")}}}
}
