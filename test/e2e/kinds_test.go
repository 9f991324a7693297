// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// shippers is a kind that no table knows, of a company's own: it copies a bucket.
const shippers = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shippers.ship.example}
spec:
  group: ship.example
  scope: Namespaced
  names: {kind: Shipper, plural: shippers, singular: shipper, listKind: ShipperList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              endpoint: {type: string}
              bucket: {type: string}
              copies: {type: integer}
`

func shipper(name string) string {
	return fmt.Sprintf(`
apiVersion: ship.example/v1
kind: Shipper
metadata: {name: nightly, namespace: default}
spec: {endpoint: "https://s3.sto2.example", bucket: %s, copies: 2}
`, name)
}

// movementKind says how to read it.
func movementKind(path string) *skottv1.MovementKind {
	return &skottv1.MovementKind{
		ObjectMeta: metav1.ObjectMeta{Name: "shippers.ship.example"},
		Spec: skottv1.MovementKindSpec{
			Group: "ship.example", Kind: "Shipper", Resource: "shippers", Versions: []string{"v1"},
			Fields: []skottv1.MovementField{{Path: path, Form: "Bucket", Direction: "From", With: map[string]string{"endpoint": "spec.endpoint"}}},
		},
	}
}

// ungoverned are the kinds that the status of the staging ManagementCluster lists.
func ungoverned(ctx context.Context) func() ([]string, error) {
	return func() ([]string, error) {
		mc := suite.ManagementCluster("staging")
		if err := hub.Get(ctx, client.ObjectKeyFromObject(mc), mc); err != nil {
			return nil, err
		}
		var out []string
		for _, u := range mc.Status.Ungoverned {
			out = append(out, fmt.Sprintf("%s %v %v", u.Kind, u.Fields, u.Clusters))
		}
		return out, nil
	}
}

func learnsKindsOfUsers(ctx SpecContext) {
	By("installing a kind that moves data and that no table knows")
	definition := testenv.Parse(shippers)
	Expect(shop.Client().Create(ctx, definition)).To(Succeed())
	listed := "Shipper.ship.example [spec.bucket spec.endpoint] [platform/shop]"
	Eventually(ungoverned(ctx)).WithContext(ctx).WithTimeout(30 * time.Second).Should(ContainElement(listed))
	eventually(ctx, shop, shipper("prod-backups"), Succeed())

	By("refusing what no reader could use")
	for path, words := range map[string]string{
		"spec..bucket":   `behind "spec."`,
		"spec.list[name": `behind "spec.list"`,
		".spec":          `behind ""`,
	} {
		Expect(hub.Create(ctx, movementKind(path))).To(MatchError(And(ContainSubstring("spec.fields[0].path"), ContainSubstring(words))), path)
	}
	everything := movementKind("spec.bucket")
	everything.Spec.Resource = "*"
	Expect(hub.Create(ctx, everything)).To(MatchError(And(ContainSubstring("spec.resource"), ContainSubstring("every object of a cluster"))))

	By("telling Skott about it, without a rebuild")
	kind := movementKind("spec.bucket")
	Expect(hub.Create(ctx, kind)).To(Succeed())
	becomes(ctx, kind, have(skottv1.ConditionReady, metav1.ConditionTrue, skottv1.ReasonMovementKindInUse))
	eventually(ctx, shop, shipper("prod-backups"), refuses("D102", `spec.bucket reads from bucket "s3.sto2.example/prod-backups"`, `Environment "staging"`))
	Expect(try(ctx, shop, shipper("stage-backups"))).To(Succeed())
	Eventually(ungoverned(ctx)).WithContext(ctx).WithTimeout(30 * time.Second).ShouldNot(ContainElement(listed))

	By("taking the kind away, and giving it back in another version")
	Expect(shop.Client().Delete(ctx, definition)).To(Succeed())
	again := testenv.Parse(shippers)
	Eventually(func() error { return shop.Client().Create(ctx, again.DeepCopy()) }).WithContext(ctx).WithTimeout(30 * time.Second).Should(Succeed())
	eventually(ctx, shop, shipper("prod-backups"), refuses("D102"))

	By("forgetting it")
	remove(ctx, kind)
	eventually(ctx, shop, shipper("prod-backups"), Succeed())
	Expect(shop.Client().Delete(ctx, again)).To(Succeed())
}
