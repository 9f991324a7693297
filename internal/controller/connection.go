// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// problem says why a connection cannot be used, as the condition does. It never repeats
// what a Secret holds.
type problem struct{ reason, message string }

func problemf(reason, format string, args ...any) *problem {
	return &problem{reason, fmt.Sprintf(format, args...)}
}

// config resolves the connection of a ManagementCluster.
func (r *managementClusters) config(ctx context.Context, mc *skottv1.ManagementCluster) (*rest.Config, *problem) {
	key := secretOf(mc)
	if key == nil {
		config, err := ctrl.GetConfig()
		if err != nil {
			return nil, problemf(skottv1.ReasonInvalidKubeconfig, "spec.connection.inCluster: %v", err)
		}
		return config, nil
	}
	secret := &corev1.Secret{}
	if err := r.reader.Get(ctx, *key, secret); err != nil {
		switch {
		case apierrors.IsNotFound(err):
			return nil, problemf(skottv1.ReasonSecretNotFound, "Secret %q does not exist", key)
		case apierrors.IsForbidden(err):
			return nil, problemf(skottv1.ReasonForbidden, "the operator may not read Secret %q", key)
		}
		return nil, problemf(skottv1.ReasonUnknown, "cannot read Secret %q: %v", key, err)
	}
	if ref := mc.Spec.Connection.KubeconfigSecretRef; ref != nil {
		return fromKubeconfig(secret, cmp.Or(ref.Key, "value"))
	}
	return fromArgoCD(secret)
}

// fromKubeconfig reads a kubeconfig. One that runs a program or reads files of the
// operator's own is refused: whoever may write the Secret would act as the operator.
func fromKubeconfig(secret *corev1.Secret, key string) (*rest.Config, *problem) {
	content, ok := secret.Data[key]
	if !ok {
		return nil, problemf(skottv1.ReasonSecretKeyNotFound, "Secret %q has no key %q", secret.Namespace+"/"+secret.Name, key)
	}
	parsed, err := clientcmd.Load(content)
	if err != nil || len(parsed.Clusters) == 0 {
		return nil, problemf(skottv1.ReasonInvalidKubeconfig, "key %q of Secret %q holds no kubeconfig", key, secret.Namespace+"/"+secret.Name)
	}
	if err := selfContained(parsed); err != nil {
		return nil, problemf(skottv1.ReasonConnectionNotSupported, "the kubeconfig of Secret %q %v", secret.Namespace+"/"+secret.Name, err)
	}
	config, err := clientcmd.NewDefaultClientConfig(*parsed, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, problemf(skottv1.ReasonInvalidKubeconfig, "the kubeconfig of Secret %q has no usable current context", secret.Namespace+"/"+secret.Name)
	}
	return config, nil
}

// selfContained refuses a kubeconfig that names files of the operator or runs programs there: whoever
// writes the Secret would read or run them with its rights.
func selfContained(c *clientcmdapi.Config) error {
	for _, user := range c.AuthInfos {
		switch {
		case user.Exec != nil || user.AuthProvider != nil:
			return errors.New("runs a program to obtain credentials, which is not supported")
		case user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "":
			return errors.New("names files, which is not supported: put their content into it")
		}
	}
	for _, cluster := range c.Clusters {
		if cluster.InsecureSkipTLSVerify {
			return errors.New("does not verify the API server's certificate, which is not supported")
		}
		if cluster.CertificateAuthority != "" {
			return errors.New("names files, which is not supported: put their content into it")
		}
	}
	return nil
}

// argoCDConfig is the key config of a cluster Secret of Argo CD.
type argoCDConfig struct {
	Username        string          `json:"username"`
	Password        string          `json:"password"`
	BearerToken     string          `json:"bearerToken"`
	ExecProvider    json.RawMessage `json:"execProviderConfig"`
	AWSAuth         json.RawMessage `json:"awsAuthConfig"`
	TLSClientConfig struct {
		Insecure   bool   `json:"insecure"`
		ServerName string `json:"serverName"`
		CAData     []byte `json:"caData"`
		CertData   []byte `json:"certData"`
		KeyData    []byte `json:"keyData"`
	} `json:"tlsClientConfig"`
}

// fromArgoCD reads a cluster Secret of Argo CD.
func fromArgoCD(secret *corev1.Secret) (*rest.Config, *problem) {
	name := secret.Namespace + "/" + secret.Name
	for _, key := range []string{"server", "config"} {
		if len(secret.Data[key]) == 0 {
			return nil, problemf(skottv1.ReasonSecretKeyNotFound, "Secret %q has no key %q", name, key)
		}
	}
	var c argoCDConfig
	if err := json.Unmarshal(secret.Data["config"], &c); err != nil {
		return nil, problemf(skottv1.ReasonInvalidKubeconfig, "key \"config\" of Secret %q is no cluster configuration of Argo CD", name)
	}
	if c.ExecProvider != nil || c.AWSAuth != nil {
		return nil, problemf(skottv1.ReasonConnectionNotSupported, "Secret %q runs a program to obtain credentials, which is not supported", name)
	}
	if c.TLSClientConfig.Insecure {
		return nil, problemf(skottv1.ReasonConnectionNotSupported, "Secret %q does not verify the API server's certificate, which is not supported", name)
	}
	return &rest.Config{
		Host: string(secret.Data["server"]), Username: c.Username, Password: c.Password, BearerToken: c.BearerToken,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: c.TLSClientConfig.ServerName,
			CAData:     c.TLSClientConfig.CAData, CertData: c.TLSClientConfig.CertData, KeyData: c.TLSClientConfig.KeyData,
		},
	}, nil
}
