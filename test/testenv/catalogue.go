// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// parallelCRDs is how many CRDs are applied at the same time: the API server needs the time.
const parallelCRDs = 4

// CatalogueCRDs reads the CRDs of the movement kinds whose project publishes them in a Go
// module: "make tools" leaves them in bin/crds (see hack/crds). None at all is an error, for
// the same reason as in Find.
func CatalogueCRDs() ([]*unstructured.Unstructured, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "bin", "crds")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no CRD is in %q: run \"make tools\"", dir)
	}
	crds := make([]*unstructured.Unstructured, len(files))
	for i, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read a CRD: %w", err)
		}
		crds[i] = &unstructured.Unstructured{}
		if err := crds[i].UnmarshalJSON(content); err != nil {
			return nil, fmt.Errorf("cannot read a CRD: %s: %w", filepath.Base(file), err)
		}
	}
	return crds, nil
}

// InstallCatalogueCRDs installs CatalogueCRDs, and further CRDs, several at a time: all of
// them take half a minute.
func (s *Server) InstallCatalogueCRDs(ctx context.Context, more ...*unstructured.Unstructured) error {
	crds, err := CatalogueCRDs()
	if err != nil {
		return err
	}
	return s.InstallParallel(ctx, append(crds, more...)...)
}

// InstallParallel is Install for many CRDs, which must not depend on their order. It creates
// where it can, which costs the API server less than an apply.
func (s *Server) InstallParallel(ctx context.Context, crds ...*unstructured.Unstructured) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCRDs)
	for _, crd := range crds {
		group.Go(func() error {
			err := s.client.Create(groupCtx, crd.DeepCopy(), fieldOwner)
			if apierrors.IsAlreadyExists(err) {
				return s.Apply(groupCtx, crd)
			}
			if err != nil {
				return fmt.Errorf("cannot create CRD %q on server %q: %w", crd.GetName(), s.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return s.established(ctx, crds)
}
