package config

import (
	"fmt"
	"strings"
	"time"
)

// The settings of the whole cluster. They are part of the replicated state; every node sees a change at once.
var (
	S3Redirect = choice(Setting{Name: "s3.redirect", Scope: ScopeCluster, Default: "auto",
		Help: "who is sent to the owner of an object by a 307 instead of relaying: agents known to follow, everybody, or nobody"},
		"auto", "always", "never")
	S3Domain = key(Setting{Name: "s3.domain", Scope: ScopeCluster, Type: "list", Repeat: true,
		Help: "domains under which a bucket is also reached as a host, https://BUCKET.DOMAIN/KEY (virtual-hosted style); their DNS has to have *.DOMAIN"}, parseDomains)
	WebsiteDomain = key(Setting{Name: "s3.website-domain", Scope: ScopeCluster, Type: "list", Repeat: true,
		Help: "domains under which a bucket with a website configuration is a website, http://BUCKET.DOMAIN/; their DNS has to have *.DOMAIN"}, parseDomains)
	S3CustomerKeysInClear = choice(Setting{Name: "s3.sse-c-in-clear", Scope: ScopeCluster, Default: "false",
		Help: "whether keys of clients (SSE-C) are taken over plain http from other machines, where whoever listens has them"}, "true", "false")
	S3Ownership = choice(Setting{Name: "s3.default-ownership", Scope: ScopeCluster, Default: "BucketOwnerEnforced",
		Help: "who owns the objects of a bucket that does not say so when it is made by S3; with all but BucketOwnerEnforced, the bucket has access control lists"},
		"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
	MetricsPublic = choice(Setting{Name: "metrics.public", Scope: ScopeCluster, Default: "true",
		Help: "whether `/-/metrics` is answered without a key; false demands a signature or a bearer token"}, "true", "false")
	NewBucketReplicas = key(Setting{Name: "bucket.replicas", Scope: ScopeCluster, Type: "auto|number", Default: auto,
		Help: "copies of each object in a bucket that does not say so when it is made; auto is 2 once there are three targets, and 1 before"},
		unless(auto, parseReplicas))
	NewBucketEncryption = choice(Setting{Name: "bucket.encryption", Scope: ScopeCluster, Default: "none",
		Help: "how objects are encrypted in buckets whose own configuration does not say it: not at all, or with keys of the cluster (SSE-S3); what is there stays as it is"}, "none", "AES256")
	RetryWindow = duration(Setting{Name: "retry.window", Scope: ScopeCluster, Default: "15s", Restart: true,
		Help: "how long the outcome of a write is remembered, so that a request repeated within the cluster is answered and not done twice"},
		15*time.Second, time.Hour)
	InlineMax = size(Setting{Name: "store.inline-max", Scope: ScopeCluster, Default: "4KiB", Restart: true,
		Help: "objects up to this size live inside their record"}, 1, 64<<10)
	SegmentMax = size(Setting{Name: "store.segment-max", Scope: ScopeCluster, Default: "1MiB", Restart: true,
		Help: "larger objects, up to this size (at most a quarter of a segment), share segment files; those above have a file of their own"}, 4<<10, 16<<20)
	SegmentSize = size(Setting{Name: "store.segment-size", Scope: ScopeCluster, Default: "64MiB", Restart: true,
		Help: "size of a segment file"}, 1<<20, 4<<30)
	HighWatermark = number(Setting{Name: "space.high-watermark", Scope: ScopeCluster, Default: "95", Restart: true,
		Help: "writes are refused when a disk is filled to this percentage"}, 10, 100)
	RepairDelay = duration(Setting{Name: "repair.delay", Scope: ScopeCluster, Default: "30s",
		Help: "how long a target may be away before others keep copies in its place"}, time.Second, 30*24*time.Hour)
	RebalanceMin = size(Setting{Name: "rebalance.min-rate", Scope: ScopeCluster, Default: "4MiB",
		Help: "bytes a second that a target moves at least to catch up, or to let others catch up, however busy it is"}, 64<<10, 1<<40)
	RebalanceMax = size(Setting{Name: "rebalance.max-rate", Scope: ScopeCluster, Default: "1GiB",
		Help: "bytes a second that it moves at most; between the two it goes by how long requests take, against when nothing moves"}, 64<<10, 1<<40)
	RebalanceParallel = number(Setting{Name: "rebalance.parallel", Scope: ScopeCluster, Default: "8",
		Help: "objects that a target fetches at the same time at the highest rate; one at the lowest"}, 1, 256)
	ScrubRate = size(Setting{Name: "scrub.rate", Scope: ScopeCluster, Default: "16MiB",
		Help: "bytes a second that a target reads of each mountpath to verify what lies there"}, 64<<10, 1<<40)
	ScrubInterval = duration(Setting{Name: "scrub.interval", Scope: ScopeCluster, Default: "168h",
		Help: "how often everything is verified; 0s: only when `aisle scrub` asks for it"}, 0, 10000*time.Hour)
	LifecycleDay = duration(Setting{Name: "lifecycle.day", Scope: ScopeCluster, Default: "24h",
		Help: "length of a day in which lifecycle rules count: days begin at its multiples since 1970 (UTC). Shorter than 24h to try rules out, and never with data that matter"},
		time.Second, 24*time.Hour)
	Features = choice(Setting{Name: "features", Scope: ScopeCluster, Default: "none",
		Help: "AIStore's feature flags: with " + LastModifiedAtime + ", what S3's GET, HEAD and lists of objects tell as the last modification is the last access"},
		"none", LastModifiedAtime)
	NotifyDestinations = shown(key(Setting{Name: "notify.destinations", Scope: ScopeCluster, Type: "list",
		Help: "where events of buckets can be sent, NAME=URL each, separated by blanks; docs/operations.md has the forms of URLs"}, parseDestinations), showDestinations)
	NotifyQueue = number(Setting{Name: "notify.queue", Scope: ScopeCluster, Default: "100000",
		Help: "events that wait for one destination at one node; further ones are dropped and counted"}, 1, 10_000_000)
	NotifyKeep = duration(Setting{Name: "notify.keep", Scope: ScopeCluster, Default: "24h",
		Help: "how long an event is kept that its destination does not take; then it is a dead letter"}, time.Second, 30*24*time.Hour)
	NotifyDeadLetters = number(Setting{Name: "notify.dead-letters", Scope: ScopeCluster, Default: "10000",
		Help: "dead letters of one destination that one node keeps: events that waited too long, or that the destination refuses for good; further ones that waited too long are dropped and counted"}, 0, 1_000_000)
	NotifyDeadKeep = duration(Setting{Name: "notify.dead-letter-keep", Scope: ScopeCluster, Default: "168h",
		Help: "how long a dead letter is kept after notify.keep; then it is dropped and counted"}, 0, 365*24*time.Hour)
	LoggingInterval = duration(Setting{Name: "logging.interval", Scope: ScopeCluster, Default: "5m",
		Help: "how long a gateway gathers the lines of a bucket's access log before it writes them into the target bucket"}, 100*time.Millisecond, 24*time.Hour)
	MaxConnections = number(Setting{Name: "http.max-connections", Scope: ScopeCluster, Default: "16384", Restart: true,
		Help: "connections that one node accepts from clients at the same time"}, 16, 1<<20)
	HeaderMax = size(Setting{Name: "http.header-max", Scope: ScopeCluster, Default: "64KiB", Restart: true,
		Help: "largest request line and header"}, 8<<10, 1<<20)
	IdleTimeout = duration(Setting{Name: "http.idle-timeout", Scope: ScopeCluster, Default: "90s", Restart: true,
		Help: "a connection without a request is closed after this time"}, time.Second, time.Hour)
	StallTimeout = duration(Setting{Name: "http.stall-timeout", Scope: ScopeCluster, Default: "30s", Restart: true,
		Help: "a request or reply whose bytes do not move for this long is ended"}, time.Second, time.Hour)
	LogLevel = choice(Setting{Name: "log.level", Scope: ScopeCluster, Default: "info",
		Help: "least severe log lines that nodes write; debug includes a line for each request"},
		"debug", "info", "warn", "error")
)

// LastModifiedAtime is the flag of Features by which S3's clients are told of the last access in place of the last write.
const LastModifiedAtime = "S3-Last-Modified-Atime"

// shown has less than the whole value of a setting be told.
func shown[T any](k Key[T], show func(string) string) Key[T] {
	k.show = show
	return k
}

// parseDomains reads domains, in lower case.
func parseDomains(v string) ([]string, error) {
	domains := splitList(strings.ToLower(v))
	for _, d := range domains {
		if !isDomain(d) {
			return nil, fmt.Errorf("%q is not the name of a domain such as s3.example.com", d)
		}
	}
	return domains, nil
}

func isDomain(d string) bool {
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(d) <= 253
}
