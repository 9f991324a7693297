// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/skott-dev/skott/internal/address"
)

// Rule says which addresses of a type are learned. What is learned becomes forbidden to others
// without anybody having looked at it, so only what names one place, and the same place to
// everybody, qualifies.
type Rule struct {
	Type address.Type
	// Learned and Not say in words what is and what is not learned, Why says why not.
	Learned, Not, Why string
	// refuse says what keeps a canonical text from being learned, "" if nothing does; nil
	// refuses none.
	refuse func(text string) string
}

// Rules are those of all types, in the order of the documentation.
var Rules = []Rule{
	{address.Bucket, "endpoint and bucket, with the prefix if there is one",
		"a bucket at a private or cluster-local endpoint", "the same name at such an endpoint is another bucket in every cluster", foreignHost},
	{address.Host, "a name that an object answers on",
		"wildcards, public suffixes, names under `.local`, `.localdomain`, `.lan`, `.home.arpa`, `.invalid`, names that spell an IP (`nip.io`)",
		"a wildcard covers names that others answer on; the rest mean something else at every site", sharedHost},
	{address.CIDR, "one public IP that an object answers on",
		"networks, private, loopback and link-local IPs", "private ranges repeat, and a network holds the IPs of others", sharedIP},
	{address.Volume, "driver and handle", "volumes by their name in the cluster, shares of a server at a private IP",
		"such names repeat from cluster to cluster", sharedVolume},
	{address.Snapshot, "driver and handle", "", "", nil},
	{address.SecretPath, "store and path", "the mounts `secret`, `kv` and `cubbyhole` as a whole, stores at private or cluster-local names",
		"these mounts are there by default, and environments share the server", sharedMount},
	{address.Project, "provider and id", "the ids `admin`, `default`, `demo`, `main`, `openstack`, `service`",
		"these are what a fresh installation calls its own", defaultProject},
	{address.Registry, "a project that something pushes to", "the public registries, and what has no project",
		"the same image goes through every environment", publicRegistry},
	{address.Credential, "the fingerprint of a [credential](#credentials), where `spec.learn.secrets` is true",
		"what is short, common, a placeholder or no secret", "with the key such values can be guessed, and what many have says nothing", nil},
	{address.ClusterEndpoint, "", "everything", "the fleet's own clusters are recorded as they are connected to; other API servers are not production's because production names them", never},
	{address.Git, "", "everything", "the same repository serves every environment", never},
}

// Distinct returns the address that a canonical text of a type names, if it is one that is
// learned; else it says why not.
func Distinct(t address.Type, text string) (a address.Address, reason string) {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return r.Type == t })
	if i < 0 {
		return address.Address{}, "addresses of this type are not learned"
	}
	a, err := address.Parse(t, text)
	if err != nil {
		return address.Address{}, "it is no address"
	}
	if refuse := Rules[i].refuse; refuse != nil {
		if reason := refuse(a.String()); reason != "" {
			return address.Address{}, reason
		}
	}
	return a, ""
}

func never(string) string { return "addresses of this type are not learned" }

// hostOf is the first segment of a text without its port.
func hostOf(text string) string {
	host, _, _ := strings.Cut(text, "/")
	if strings.Count(host, ":") == 1 {
		host, _, _ = strings.Cut(host, ":")
	}
	return host
}

// providers are the object stores that have no host of their own in an address.
var providers = []string{"aws", "gcs", "azure"}

// foreignHost refuses what stands on a host that means something else elsewhere.
func foreignHost(text string) string {
	host := hostOf(text)
	if slices.Contains(providers, host) {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return privateIP(ip)
	}
	if _, err := address.Parse(address.Host, host); err != nil {
		return "its host means nothing outside its cluster"
	}
	return localName(host)
}

// siteNames end names that every site resolves for itself.
var siteNames = []string{".local", ".localdomain", ".lan", ".home.arpa", ".invalid"}

// spelledIP matches the services that resolve a name to the IP in it.
var spelledIP = regexp.MustCompile(`[.](nip|sslip|xip)[.]io$`)

func localName(host string) string {
	if slices.ContainsFunc(siteNames, func(s string) bool { return strings.HasSuffix(host, s) }) {
		return "names under its domain mean something else at every site"
	}
	if spelledIP.MatchString(host) {
		return "it spells an IP, which repeats"
	}
	return ""
}

func sharedHost(host string) string {
	if strings.HasPrefix(host, "*.") {
		return "a wildcard covers names that others answer on"
	}
	if suffix, _ := publicsuffix.PublicSuffix(host); suffix == host {
		return "it is a public suffix"
	}
	return localName(host)
}

func sharedIP(network string) string {
	p, err := netip.ParsePrefix(network)
	switch {
	case err != nil: // with a datacenter
		return "a private range means something only in its datacenter"
	case !p.IsSingleIP():
		return "a network holds the IPs of others"
	}
	return privateIP(p.Addr())
}

func privateIP(ip netip.Addr) string {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedSpace.Contains(ip) {
		return "a private IP repeats at every site"
	}
	return ""
}

// sharedSpace is between a provider and its customers, as private as the others.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// named are first segments of Volumes that are no driver: names in the cluster.
var named = []string{"persistentvolume", "namespace", "hostpath", "local"}

func sharedVolume(text string) string {
	driver, rest, _ := strings.Cut(text, "/")
	if slices.Contains(named, driver) {
		return "it is a name in its cluster"
	}
	if driver != "nfs" {
		return ""
	}
	return foreignHost(rest)
}

// mounts that a secret store has by default, and what version 2 of the API adds to them.
var mounts = []string{"secret", "kv", "cubbyhole", "secret/data", "kv/data", "secret/metadata", "kv/metadata", "v1/secret", "v1/kv"}

func sharedMount(text string) string {
	_, path, _ := strings.Cut(text, "/")
	if slices.Contains(mounts, path) {
		return "it is a default mount"
	}
	return foreignHost(text)
}

var defaultProjects = []string{"admin", "default", "demo", "main", "openstack", "service"}

func defaultProject(text string) string {
	_, id, _ := strings.Cut(text, "/")
	if slices.Contains(defaultProjects, id) {
		return "it is what a fresh installation calls its own"
	}
	return ""
}

var publicRegistries = []string{"docker.io", "index.docker.io", "registry-1.docker.io", "quay.io", "ghcr.io", "gcr.io", "registry.k8s.io",
	"k8s.gcr.io", "mcr.microsoft.com", "public.ecr.aws", "registry.access.redhat.com", "registry.redhat.io", "docker.elastic.co", "nvcr.io"}

func publicRegistry(text string) string {
	if slices.Contains(publicRegistries, hostOf(text)) {
		return "it is on a public registry"
	}
	return foreignHost(text)
}
