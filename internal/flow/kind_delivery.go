// SPDX-License-Identifier: Apache-2.0

package flow

import "github.com/skott-dev/skott/internal/address"

// Delivery: what places workloads and credentials in clusters.
//
// Read from: Argo CD 3.5 (argoproj.io/v1alpha1 Application; the Secret of a cluster, whose
// data is base64, so that policies look its known spellings up: it gives access to a cluster,
// as the one in Ops must have to all of them, and what is delivered there is for the
// Application to say); External Secrets
// (external-secrets.io/v1), whose stores PushSecret also writes to.
var deliveryKinds = []Kind{
	{
		Version: "v1", Resource: "secrets", Kind: "Secret", Family: Delivery,
		Fields: []Field{
			{Path: "data.server", Form: Alias, Type: address.ClusterEndpoint, Direction: From},
			{Path: "metadata.name", Form: Alias, Type: address.ClusterEndpoint, Direction: From},
		},
	},
	{
		Group: "argoproj.io", Version: "v1alpha1", Resource: "applications", Kind: "Application", Family: Delivery,
		Fields: []Field{
			{Path: "spec.destination.server", Form: Text, Type: address.ClusterEndpoint, Direction: To, End: Destination},
			{Path: "spec.destination.name", Form: Alias, Const: address.NameAlias, Type: address.ClusterEndpoint, Direction: To, End: Destination},
			{Path: "spec.source.repoURL", Form: Git, Type: address.Git, Direction: From, End: Source, With: []string{"spec.source.path"}},
			{Path: "spec.sources[*].repoURL", Form: Git, Type: address.Git, Direction: From, End: Source, With: []string{"spec.sources[*].path"}},
			{Path: "spec.source.helm.values", Form: Text, Type: address.Host, Direction: Names, End: Source},
			{Path: "spec.source.helm.parameters[name].value", Form: Text, Type: address.Host, Direction: Names, End: Source},
			{Path: "operation.sync.source.repoURL", Form: Git, Type: address.Git, Direction: From, End: Source, With: []string{"operation.sync.source.path"}},
		},
	},
	storeKind("secretstores", "SecretStore"),
	storeKind("clustersecretstores", "ClusterSecretStore"),
}

// storeKind is one of the two kinds of External Secrets stores, which have one shape.
func storeKind(resource, kind string) Kind {
	p := "spec.provider."
	fields := []Field{
		{Path: p + "vault.server", Form: Store, Type: address.SecretPath, Direction: Names, With: []string{p + "vault.path"}},
		{Path: p + "kubernetes.server.url", Form: Text, Type: address.ClusterEndpoint, Direction: Names},
		{Path: p + "gcpsm.projectID", Form: Join, Const: "gcp", Type: address.Project, Direction: Names},
		{Path: p + "azurekv.tenantId", Form: Join, Const: "azure", Type: address.Project, Direction: Names},
		{Path: p + "aws.role", Form: Join, Const: "aws", Type: address.Project, Direction: Names},
		{Path: p + "doppler.project", Form: Join, Const: "doppler", Type: address.Project, Direction: Names},
		{Path: p + "barbican.authURL", Form: Text, Type: address.Host, Direction: Names},
	}
	for _, url := range []string{"azurekv.vaultUrl", "conjur.url", "gitlab.url", "senhasegura.url", "webhook.url", "pulumi.apiUrl",
		"fortanix.apiUrl", "scaleway.apiUrl", "infisical.hostAPI", "onepassword.connectHost", "secretserver.serverURL"} {
		fields = append(fields, Field{Path: p + url, Form: Text, Type: address.Host, Direction: Names})
	}
	return Kind{Group: "external-secrets.io", Version: "v1", Resource: resource, Kind: kind, Family: Delivery, Rows: "store", Fields: fields}
}
