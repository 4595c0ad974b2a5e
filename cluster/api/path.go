package api

import (
	"net/url"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// The paths of the native API.
const (
	Base      = "/v1"
	Buckets   = Base + "/buckets"
	Objects   = Base + "/objects"
	Cluster   = Base + "/cluster"
	SetConfig = Cluster + "/set-config"
	Daemon    = Base + "/daemon"
	Auth      = Base + "/auth"
	KMS       = Base + "/kms"
	Reverse   = Base + "/reverse/daemon" // one node, named by HeaderNodeID, through any gateway
	Health    = Base + "/health"
)

// Names of query parameters.
const (
	QueryProvider  = "provider"
	QueryNamespace = "namespace"
	QueryWhat      = "what"      // which part of the cluster's or node's state
	QueryObjectTo  = "object_to" // destination of a copy: PROVIDER/NAMESPACE/BUCKET/KEY
	QueryAction    = "action"    // what is to be done with a mountpath
	QueryPath      = "path"      // which one
	QueryForce     = "force"     // true: also when objects are lost by it
	QueryProps     = "props"     // HEAD of an object: the names that are asked for
	QueryPresence  = "presence"  // accepted; every bucket of this cluster is present
)

// Values of the parameter "what".
const (
	WhatSmap          = "smap"
	WhatBMD           = "bmd"
	WhatClusterConfig = "cluster_config"
	WhatNodeStatus    = "node_status"
	WhatJobs          = "qryxstats"
	WhatScrub         = "scrub"
	WhatMountpaths    = "mountpaths"
	WhatLifecycle     = "lifecycle"
)

// The actions of an ActionMsg.
const (
	ActionList          = "list"
	ActionCreateBucket  = "create-bck"
	ActionAttach        = "attach-mp"
	ActionDetach        = "detach-mp"
	ActionEnable        = "enable-mp"
	ActionDisable       = "disable-mp"
	ActionDestroyBucket = "destroy-bck"
	ActionSetProps      = "set-bprops"
	ActionSetConfig     = "set-config"
	ActionResetConfig   = "reset-config"

	ActionStartMaintenance = "start-maintenance"
	ActionStopMaintenance  = "stop-maintenance"
	ActionShutdownNode     = "shutdown-node"
	ActionDecommissionNode = "decommission-node"
)

// Headers of requests and replies.
const (
	HeaderBucketProps   = "Ais-Bucket-Props"    // reply of HEAD bucket: JSON of BucketProps
	HeaderChecksumType  = "Ais-Checksum-Type"   // of an object; on PUT: verified together with the value
	HeaderChecksumValue = "Ais-Checksum-Value"  // hexadecimal
	HeaderAtime         = "Ais-Atime"           // nanoseconds since 1970
	HeaderVersion       = "Ais-Version"         // the integer counter of the object
	HeaderCustom        = "Ais-Custom-Md"       // name=value, repeated
	HeaderName          = "Ais-Name"            // HEAD object: its key
	HeaderBucketName    = "Ais-Bucket-Name"     // HEAD object
	HeaderProvider      = "Ais-Bucket-Provider" // HEAD object
	HeaderLocation      = "Ais-Location"        // HEAD object: t[NODE]:mp[MOUNTPATH]
	HeaderCopies        = "Ais-Mirror-Copies"   // HEAD object: number of copies
	HeaderPresent       = "Ais-Present"         // HEAD object
	HeaderNodeID        = "Ais-Node-Id"         // request to Reverse: which node
	HeaderError         = "Hdr-Error"           // reply of HEAD: the error's JSON
)

// Content types.
const (
	JSON    = "application/json"
	MsgPack = "application/msgpack"
)

// BucketPath returns the path of a bucket, escaped.
func BucketPath(b cluster.Bucket) string { return Buckets + "/" + url.PathEscape(string(b.Name)) }

// ObjectPath returns the path of an object. Each byte of the key but unreserved ones and '/' is escaped, and so are dots
// that stand alone between slashes: no client, proxy or server between here and there can take them for a directory.
func ObjectPath(b cluster.Bucket, key cluster.ObjectKey) string {
	return Objects + "/" + url.PathEscape(string(b.Name)) + "/" + EscapeKey(key)
}

// EscapeKey writes a key as the rest of a path.
func EscapeKey(key cluster.ObjectKey) string {
	parts := strings.Split(string(key), "/")
	for i, p := range parts {
		switch p {
		case ".":
			parts[i] = "%2E"
		case "..":
			parts[i] = "%2E%2E"
		default:
			parts[i] = escapeSegment(p)
		}
	}
	return strings.Join(parts, "/")
}

func escapeSegment(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// BucketQuery returns the parameters that complete a bucket's name in a path.
func BucketQuery(b cluster.Bucket) url.Values {
	q := url.Values{QueryProvider: {string(b.Provider)}}
	if b.Namespace != "" {
		q.Set(QueryNamespace, b.Namespace)
	}
	return q
}

// ParseBucket puts together a bucket from the name in the path and the parameters. A missing provider is AIS; the empty
// namespace is also written "@#". Bucket names are checked: of a provider or namespace that is not built it is
// KindNotImplemented.
func ParseBucket(name string, q url.Values) (cluster.Bucket, error) {
	const op = "cluster/api.ParseBucket"
	p, err := cluster.ParseProvider(q.Get(QueryProvider))
	if err != nil {
		return cluster.Bucket{}, cluster.E(op, name, cluster.KindInvalid, err)
	}
	return checkBucket(op, cluster.Bucket{Provider: p, Namespace: globalNamespace(q.Get(QueryNamespace)), Name: cluster.BucketName(name)})
}

func globalNamespace(ns string) string {
	if ns == "@#" {
		return ""
	}
	return ns
}

func checkBucket(op string, b cluster.Bucket) (cluster.Bucket, error) {
	if b.Provider != cluster.AIS || b.Namespace != "" {
		return b, cluster.Fail(op, b.String(), cluster.KindNotImplemented, "only buckets ais://NAME are implemented")
	}
	if err := cluster.ValidateBucketName(b.Name); err != nil {
		return b, cluster.E(op, b.String(), cluster.KindInvalid, err)
	}
	return b, nil
}

// ObjectTo writes the destination of a copy: PROVIDER/@UUID#NAMESPACE/BUCKET/KEY.
func ObjectTo(b cluster.Bucket, key cluster.ObjectKey) string {
	ns := b.Namespace
	if ns == "" {
		ns = "@#"
	}
	return string(b.Provider) + "/" + ns + "/" + string(b.Name) + "/" + string(key)
}

// ParseObjectTo reads what ObjectTo wrote and checks bucket and key.
func ParseObjectTo(s string) (cluster.Bucket, cluster.ObjectKey, error) {
	const op = "cluster/api.ParseObjectTo"
	parts := strings.SplitN(s, "/", 4)
	if len(parts) != 4 {
		return cluster.Bucket{}, "", cluster.Fail(op, s, cluster.KindInvalid, "object_to is not PROVIDER/@#/BUCKET/KEY")
	}
	p, err := cluster.ParseProvider(parts[0])
	if err != nil {
		return cluster.Bucket{}, "", cluster.E(op, s, cluster.KindInvalid, err)
	}
	b, err := checkBucket(op, cluster.Bucket{Provider: p, Namespace: globalNamespace(parts[1]), Name: cluster.BucketName(parts[2])})
	if err != nil {
		return b, "", err
	}
	key := cluster.ObjectKey(parts[3])
	if err := cluster.ValidateKey(key); err != nil {
		return b, key, cluster.E(op, b.String(), cluster.KindInvalid, err)
	}
	return b, key, nil
}
