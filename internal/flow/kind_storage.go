// SPDX-License-Identifier: Apache-2.0

package flow

import "github.com/skott-dev/skott/internal/address"

// Storage: backups, volumes, snapshots and databases that read them.
//
// Read from: the CRDs of Velero 1.18 (velero.io/v1), whose server imports every backup it
// finds in a location (requirements §6, trap 5), so that naming one is enough; CSI snapshots
// (snapshot.storage.k8s.io/v1); core v1 PersistentVolume and PersistentVolumeClaim;
// CloudNativePG 1.30 (postgresql.cnpg.io/v1) and its Barman plugin (barmancloud.cnpg.io/v1),
// where the path of a server is destinationPath/serverName, serverName defaulting to the name
// of the entry.
var storageKinds = []Kind{
	{
		Group: "velero.io", Version: "v1", Resource: "backupstoragelocations", Kind: "BackupStorageLocation", Family: Storage,
		Fields: []Field{
			{Path: "spec.objectStorage.bucket", Form: Bucket, Type: address.Bucket, Direction: Names,
				With: []string{"spec.config.s3Url", "spec.objectStorage.prefix", "spec.provider"}},
			{Path: "spec.config{*}", Form: Text, Type: address.Host, Direction: Names},
		},
	},
	{
		Group: "velero.io", Version: "v1", Resource: "volumesnapshotlocations", Kind: "VolumeSnapshotLocation", Family: Storage,
		Fields: []Field{
			{Path: "spec.config.project", Form: Join, Const: "gcp", Type: address.Project, Direction: Names},
			{Path: "spec.config.subscriptionId", Form: Join, Const: "azure", Type: address.Project, Direction: Names},
			{Path: "spec.config.cloud", Form: Join, Const: "openstack", Type: address.Project, Direction: Names},
			{Path: "spec.config{*}", Form: Text, Type: address.Host, Direction: Names},
		},
	},
	{
		Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshotcontents", Kind: "VolumeSnapshotContent", Family: Storage,
		Fields: []Field{
			{Path: "spec.source.snapshotHandle", Form: Join, Type: address.Snapshot, Direction: From, With: []string{"spec.driver"}},
			{Path: "spec.source.volumeHandle", Form: Join, Type: address.Volume, Direction: From, With: []string{"spec.driver"}},
		},
	},
	{
		Version: "v1", Resource: "persistentvolumes", Kind: "PersistentVolume", Family: Storage,
		Fields: []Field{
			{Path: "spec.csi.volumeHandle", Form: Join, Type: address.Volume, Direction: Names, With: []string{"spec.csi.driver"}},
			{Path: "spec.csi.volumeAttributes{*}", Form: Text, Type: address.Host, Direction: Names},
			{Path: "spec.nfs.server", Form: Join, Const: "nfs", Type: address.Volume, Direction: Names, With: []string{"", "spec.nfs.path"}},
			{Path: "spec.nfs.server", Form: Text, Type: address.Host, Direction: Names},
			{Path: "metadata.name", Form: Join, Const: "persistentvolume", Type: address.Volume, Direction: Names, CreateOnly: true},
		},
	},
	{
		Version: "v1", Resource: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", Family: Storage,
		Fields: []Field{
			{Path: "spec.volumeName", Form: Join, Const: "persistentvolume", Type: address.Volume, Direction: Names},
			{Path: "spec.dataSourceRef.namespace", Form: Join, Const: "namespace", Type: Namespace, Direction: From},
		},
	},
	{
		Group: "postgresql.cnpg.io", Version: "v1", Resource: "clusters", Kind: "Cluster", Family: Storage,
		Fields: []Field{
			{Path: "spec.externalClusters[name].barmanObjectStore.destinationPath", Form: Object, Type: address.Bucket, Direction: From,
				With: []string{"spec.externalClusters[name].barmanObjectStore.endpointURL", "spec.externalClusters[name].barmanObjectStore.serverName", "spec.externalClusters[name].name"}},
			{Path: "spec.externalClusters[name].connectionParameters{*}", Form: Text, Type: address.Host, Direction: From},
			{Path: "spec.backup.barmanObjectStore.destinationPath", Form: Object, Type: address.Bucket, Direction: Names,
				With: []string{"spec.backup.barmanObjectStore.endpointURL", "spec.backup.barmanObjectStore.serverName", "metadata.name"}},
			{Path: "spec.imageName", Form: Image, Type: address.Registry, Direction: From},
		},
	},
	{
		Group: "barmancloud.cnpg.io", Version: "v1", Resource: "objectstores", Kind: "ObjectStore", Family: Storage,
		Fields: []Field{
			{Path: "spec.configuration.destinationPath", Form: Object, Type: address.Bucket, Direction: Names,
				With: []string{"spec.configuration.endpointURL", "spec.configuration.serverName"}},
			{Path: "spec.configuration.endpointURL", Form: Text, Type: address.Host, Direction: Names},
		},
	},
}
