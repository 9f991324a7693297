// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

var scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(apiextensionsv1.AddToScheme(s))
	utilruntime.Must(clusterv1.AddToScheme(s))
	utilruntime.Must(skottv1.AddToScheme(s))
	return s
}

// The kinds of which Skott's own objects are.
var (
	kindCRD       = apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition")
	kindGuard     = skottv1.GroupVersion.WithKind("Guard")
	kindPolicy    = admissionv1.SchemeGroupVersion.WithKind("ValidatingAdmissionPolicy")
	kindBinding   = admissionv1.SchemeGroupVersion.WithKind("ValidatingAdmissionPolicyBinding")
	kindWebhook   = admissionv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration")
	kindNamespace = corev1.SchemeGroupVersion.WithKind("Namespace")
)

// mapper knows every kind that is used in a guarded cluster. Discovery would tell the same
// at the cost of several requests per cluster, and would remember a kind as missing that
// was created a moment ago.
var mapper = newMapper()

// newMapper is a mapper of these kinds, each with its scope.
func newMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []schema.GroupVersionKind{
		kindCRD, kindGuard, kindPolicy, kindBinding, kindWebhook, kindNamespace,
		authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"),
		rbacv1.SchemeGroupVersion.WithKind("ClusterRole"),
		rbacv1.SchemeGroupVersion.WithKind("ClusterRoleBinding"),
	} {
		m.Add(kind, meta.RESTScopeRoot)
	}
	for _, kind := range []schema.GroupVersionKind{
		rbacv1.SchemeGroupVersion.WithKind("Role"),
		rbacv1.SchemeGroupVersion.WithKind("RoleBinding"),
		corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
		appsv1.SchemeGroupVersion.WithKind("ControllerRevision"), // canaries of API groups
		corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"),
		corev1.SchemeGroupVersion.WithKind("Pod"),
		corev1.SchemeGroupVersion.WithKind("Secret"),
		corev1.SchemeGroupVersion.WithKind("Service"),
		appsv1.SchemeGroupVersion.WithKind("Deployment"),
		appsv1.SchemeGroupVersion.WithKind("ControllerRevision"),
		policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"),
	} {
		m.Add(kind, meta.RESTScopeNamespace)
	}
	return m
}
