package config

import (
	"fmt"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Nodes returns the settings of a node, in the order of the documentation.
func Nodes() []*Setting {
	return []*Setting{
		Dir.Setting, Mountpaths.Setting, Listen.Setting, IntraListen.Setting, GossipListen.Setting, PublicURL.Setting,
		Join.Setting, Role.Setting, Zone.Setting, TLSCert.Setting, TLSKey.Setting, SecretFile.Setting,
		IntraAdvertise.Setting, GossipAdvertise.Setting, MetadataCache.Setting, LogFormat.Setting,
		MasterKeyFile.Setting,
		ClusterSecret.Setting, MasterKey.Setting, AccessKey.Setting, SecretKey.Setting,
	}
}

// Cluster returns the settings of the cluster, in the order of the documentation.
func Cluster() []*Setting {
	return []*Setting{
		S3Redirect.Setting, S3Domain.Setting, WebsiteDomain.Setting, S3Ownership.Setting, S3CustomerKeysInClear.Setting, MetricsPublic.Setting, NewBucketReplicas.Setting, NewBucketEncryption.Setting, RetryWindow.Setting,
		InlineMax.Setting, SegmentMax.Setting, SegmentSize.Setting, HighWatermark.Setting,
		RepairDelay.Setting, RebalanceMin.Setting, RebalanceMax.Setting, RebalanceParallel.Setting, ScrubRate.Setting, ScrubInterval.Setting, LifecycleDay.Setting,
		Features.Setting, NotifyDestinations.Setting, NotifyQueue.Setting, NotifyKeep.Setting,
		NotifyDeadLetters.Setting, NotifyDeadKeep.Setting, LoggingInterval.Setting,
		MaxConnections.Setting, HeaderMax.Setting, IdleTimeout.Setting, StallTimeout.Setting, LogLevel.Setting,
	}
}

// Bucket returns the properties of a bucket, in the order of the documentation.
func Bucket() []*Setting {
	return []*Setting{BucketChecksum.Setting, BucketReplicas.Setting, BucketEC.Setting, BucketMinCopies.Setting, BucketRedirect.Setting, BucketVersioning.Setting, BucketLock.Setting}
}

// Client returns the settings of the command line client, in the order of the documentation.
func Client() []*Setting {
	return []*Setting{Endpoint.Setting, Profile.Setting, Token.Setting, CAFile.Setting}
}

// CheckCluster checks changes of cluster settings; an empty value means "back to the default".
func CheckCluster(changes map[string]string) error {
	const op = "cluster/config.CheckCluster"
	for name, value := range changes {
		setting := find(Cluster(), name)
		if setting == nil {
			return cluster.Fail(op, name, cluster.KindInvalid,
				fmt.Sprintf("there is no such cluster setting; there are %s", strings.Join(namesOf(Cluster()), ", ")))
		}
		if value == "" {
			continue
		}
		if err := setting.Check(value); err != nil {
			return cluster.E(op, "", cluster.KindInvalid, err)
		}
	}
	return nil
}

// Effective returns every cluster setting with its value: what was set, else the default.
func Effective(set map[string]string) map[string]string {
	all := make(map[string]string)
	for _, s := range Cluster() {
		all[s.Name] = s.Default
		if v := set[s.Name]; v != "" {
			all[s.Name] = v
			if s.show != nil {
				all[s.Name] = s.show(v)
			}
		}
	}
	return all
}

func find(settings []*Setting, name string) *Setting {
	for _, s := range settings {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func namesOf(settings []*Setting) []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.Name
	}
	return names
}
