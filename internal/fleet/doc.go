// SPDX-License-Identifier: Apache-2.0

// Package fleet owns the connections to Management Clusters, to their Cluster API Clusters
// and to the API servers of those: it engages and disengages them, labels the Clusters,
// puts into every guarded cluster what it is told to hold, puts it back when it drifts, and
// proves with live requests that it acts. It refuses to know what an address or a boundary
// is and how a policy is made: it is handed finished objects and canaries, by a function
// that it asks for every cluster. It writes no status; what it sees it reports as a
// snapshot, and through an Observer.
package fleet
