package api

// Route is one operation of the native API. Every path, action and value of "what" that has no route is refused with
// KindNotImplemented.
type Route struct {
	Method string
	Path   string // with {bucket} and {key}
	Action string // of the ActionMsg in the body, if it has one
	What   string // value of the query parameter "what", if it needs one
	Help   string
	Answer string
}

// Routes returns every operation of the native API, in the order of the documentation.
func Routes() []Route {
	bucket, object := Buckets+"/{bucket}", Objects+"/{bucket}/{key}"
	return []Route{
		{"GET", Buckets, ActionList, "", "list the buckets", "JSON: [BucketName]"},
		{"POST", bucket, ActionCreateBucket, "", "create a bucket; the value may hold properties", "nothing"},
		{"HEAD", bucket, "", "", "properties of a bucket", "header " + HeaderBucketProps},
		{"PATCH", bucket, ActionSetProps, "", "change properties of a bucket", "nothing"},
		{"DELETE", bucket, ActionDestroyBucket, "", "delete an empty bucket", "nothing"},
		{"GET", bucket, ActionList, "", "list objects; the value is a ListMsg", "JSON or MessagePack: ListResult"},
		{"PUT", object, "", "", "write an object; " + HeaderChecksumType + " and " + HeaderChecksumValue + " are verified", "headers of the object"},
		{"PUT", object + "?" + QueryObjectTo, "", "", "copy the object to " + QueryObjectTo + " = PROVIDER/@#/BUCKET/KEY", "nothing"},
		{"GET", object, "", "", "read an object, or a Range of it", "the bytes, headers of the object"},
		{"HEAD", object, "", "", "properties of an object, all or those in " + QueryProps, "headers of the object"},
		{"DELETE", object, "", "", "delete an object", "nothing"},
		{"GET", Daemon, "", WhatSmap, "the cluster map", "JSON: Smap"},
		{"GET", Cluster, "", WhatSmap, "the cluster map", "JSON: Smap"},
		{"GET", Daemon, "", WhatBMD, "the bucket table", "JSON: BMD"},
		{"GET", Cluster, "", WhatBMD, "the bucket table", "JSON: BMD"},
		{"GET", Daemon, "", WhatNodeStatus, "state of the node that is asked", "JSON: NodeStatus"},
		{"GET", Reverse, "", WhatNodeStatus, "state of the node in " + HeaderNodeID, "JSON: NodeStatus"},
		{"GET", Daemon, "", WhatJobs, "jobs of the node that is asked: those that run, and the last that have ended", "JSON: [Snap]"},
		{"GET", Reverse, "", WhatJobs, "jobs of the node in " + HeaderNodeID, "JSON: [Snap]"},
		{"GET", Daemon, "", WhatScrub, "how far the node that is asked is with verifying what it has, and what is damaged", "JSON: Scrub"},
		{"GET", Reverse, "", WhatScrub, "the same of the node in " + HeaderNodeID, "JSON: Scrub"},
		{"GET", Daemon, "", WhatDenials, "the last requests that the node that is asked has denied, newest first, and why; needs aisle:ManageCluster", "JSON: [Denial]"},
		{"GET", Reverse, "", WhatDenials, "the same of the node in " + HeaderNodeID, "JSON: [Denial]"},
		{"PUT", Daemon, "", WhatScrub, "the node that is asked verifies what it has now; without a body", "nothing"},
		{"PUT", Reverse, "", WhatScrub, "the same of the node in " + HeaderNodeID, "nothing"},
		{"PUT", Daemon, "", WhatLifecycle, "the node that is asked looks now for what has expired by lifecycle rules; without a body", "nothing"},
		{"PUT", Reverse, "", WhatLifecycle, "the same of the node in " + HeaderNodeID, "nothing"},
		{"GET", Daemon, "", WhatNotify, "events of buckets that the node that is asked has sent, and its dead letters", "JSON: Notify"},
		{"GET", Reverse, "", WhatNotify, "the same of the node in " + HeaderNodeID, "JSON: Notify"},
		{"PUT", Daemon, "", WhatNotify, "do " + QueryAction + " (" + ActionSendDead + ", " + ActionDropDead + ") with the dead letters of the node that is asked, all or those for " + QueryDestination + "; without a body", "JSON: NotifyDone"},
		{"PUT", Reverse, "", WhatNotify, "the same at the node in " + HeaderNodeID, "JSON: NotifyDone"},
		{"PUT", Daemon, "", WhatMountpaths, "do " + QueryAction + " (attach-mp, detach-mp, enable-mp, disable-mp) with the mountpath " + QueryPath + " of the node that is asked; " + QueryForce + "=true detaches one that has failed with the only copy of something; without a body", "nothing"},
		{"PUT", Reverse, "", WhatMountpaths, "the same at the node in " + HeaderNodeID, "nothing"},
		{"GET", Cluster, "", WhatClusterConfig, "the cluster settings", "JSON: sections, and \"settings\" by full name"},
		{"PUT", Cluster, ActionSetConfig, "", "change cluster settings", "nothing"},
		{"PUT", SetConfig, "", "", "change cluster settings given as query parameters", "nothing"},
		{"PUT", Cluster, ActionResetConfig, "", "set all cluster settings back to their defaults", "nothing"},
		{"PUT", Cluster, ActionStartMaintenance, "", "nodes may go for a while; the value is a NodesMsg", "text: what it costs, which was forced"},
		{"PUT", Cluster, ActionStopMaintenance, "", "nodes take part again", "nothing"},
		{"PUT", Cluster, ActionShutdownNode, "", "nodes end their processes, and take part again when they are started", "text: what it costs, which was forced"},
		{"PUT", Cluster, ActionDecommissionNode, "", "nodes give away all that they hold, and leave for ever", "text: what it costs, which was forced"},
		{"GET", Auth, "", WhatIdentities, "users, groups, policies, keys, roles or providers (issuers of web identities), by " + QueryKind + " and, for one of them, " + QueryName, "JSON: [Identity]"},
		{"POST", Auth, ActionAddIdentity, "", "add a user with its key, a group, a policy, a key, a role or a provider; the value is an IdentityMsg", "JSON: Identity"},
		{"POST", Auth, ActionSetIdentity, "", "change one", "JSON: Identity"},
		{"POST", Auth, ActionRemoveIdentity, "", "remove one; a user with its keys", "nothing"},
		{"GET", KMS, "", "", "the encryption keys, without what they are", "JSON: [EncryptionKey]"},
		{"POST", KMS, ActionAddKey, "", "make an encryption key; the value is an EncryptionKeyMsg", "nothing"},
		{"POST", KMS, ActionRotateKey, "", "give one a new version, for what is written from now on", "nothing"},
		{"POST", KMS, ActionResealKey, "", "seal one anew, under the current master key of the node that is asked", "nothing"},
		{"POST", KMS, ActionRemoveKey, "", "remove one: what is encrypted under it can never be read again", "nothing"},
		{"GET", Health, "", "", "200 when the node may answer, else 503; needs no key", "nothing"},
	}
}
