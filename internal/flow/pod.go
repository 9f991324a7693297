// SPDX-License-Identifier: Apache-2.0

package flow

import skottv1 "github.com/skott-dev/skott/api/v1alpha1"

// podFields are the rows of a pod spec at a path.
//
// Read from: core v1. The usual way production data reaches staging is a dump or restore job
// with no kind of its own, so env values, commands and arguments are read as free text;
// ephemeral containers arrive through pods/ephemeralcontainers. An image of a production
// registry project is customer data (requirements R5).
func podFields(path string) ([]Field, error) {
	if path != "" {
		path += "."
	}
	var rows []skottv1.MovementField
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		c := path + list + "[name]."
		rows = append(rows,
			skottv1.MovementField{Path: c + "image", Form: Image, Direction: From},
			skottv1.MovementField{Path: c + "env[name].value"},
			skottv1.MovementField{Path: c + "command[*]"},
			skottv1.MovementField{Path: c + "args[*]"},
			link(c+"env[name].valueFrom.secretKeyRef.name", "secrets"),
			link(c+"env[name].valueFrom.configMapKeyRef.name", "configmaps"),
			link(c+"envFrom[*].secretRef.name", "secrets"),
			link(c+"envFrom[*].configMapRef.name", "configmaps"),
		)
	}
	v := path + "volumes[name]."
	rows = append(rows,
		skottv1.MovementField{Path: v + "nfs.server", Form: Join, Type: "Volume", Const: "nfs", With: map[string]string{"after": v + "nfs.path"}},
		skottv1.MovementField{Path: v + "nfs.server"},
		skottv1.MovementField{Path: v + "csi.volumeAttributes{*}"},
		skottv1.MovementField{Path: v + "image.reference", Form: Image, Direction: From},
		link(v+"secret.secretName", "secrets"),
		link(v+"configMap.name", "configmaps"),
		link(v+"persistentVolumeClaim.claimName", "persistentvolumeclaims"),
	)
	out := make([]Field, len(rows))
	for i := range rows {
		f, err := newField(&rows[i])
		if err != nil {
			return nil, err
		}
		f.Pod = true
		out[i] = *f
	}
	return out, nil
}

// link is a row that names another object of the core group.
func link(path, resource string) skottv1.MovementField {
	return skottv1.MovementField{Path: path, Form: Link, To: &skottv1.MovementTarget{Resource: resource}}
}
