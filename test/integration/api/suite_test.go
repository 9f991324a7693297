// SPDX-License-Identifier: Apache-2.0

// Package api_test holds the API of Skott to its contract on a real API server: what each
// rule and bound of the CRDs accepts and refuses, what a user reads when refused, and that
// the manifests of config/ apply and grant what they say.
package api_test

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// root is the top of the repository, seen from this folder.
const root = "../../.."

var (
	env    *testenv.Env
	server *testenv.Server
	c      client.Client
)

func TestAPI(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "API Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	env, servers = suite.Start(ctx, "api", testenv.Options{Name: "ops"})
	server = servers[0]
	Expect(server.Install(ctx, crds()...)).To(Succeed())
	c = server.Client()
})

// crds are the generated CRDs, in the order of their names.
func crds() []*unstructured.Unstructured {
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(files).To(HaveLen(6))
	out := make([]*unstructured.Unstructured, len(files))
	for i, file := range files {
		content, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		out[i] = parse(string(content))
	}
	return out
}

func parse(text string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	content, err := yaml.YAMLToJSON([]byte(text))
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	// This decoder keeps integers, as an API server does.
	ExpectWithOffset(1, json.Unmarshal(content, &object.Object)).To(Succeed())
	return object
}
