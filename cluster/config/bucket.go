package config

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// The properties of a bucket.
var (
	BucketChecksum = choice(Setting{Name: "checksum.type", Scope: ScopeBucket, Default: "xxhash",
		Help: "checksum that each object carries; buckets made through S3 have md5 (new objects only)"}, checksumNames()...)
	BucketReplicas = key(Setting{Name: "replicas", Scope: ScopeBucket, Type: "cluster|number", Default: byCluster,
		Help: "copies of each object, each on another target, 1 to 8; cluster is what `bucket.replicas` of the cluster says when the bucket is made. A change is in force at once, and moves the objects in the background, with their versions and the uploads in progress"},
		unless(byCluster, parseReplicas))
	BucketEC = key(Setting{Name: "ec", Scope: ScopeBucket, Type: "none|D+P", Default: "none",
		Help: "erasure coding in place of copies: D data and P parity shards of each object, each on another target, 1 to 16 and 1 to 8; any P of them may be lost; a change is made as one of `replicas` is"},
		parseEC)
	BucketMirror = key(Setting{Name: "mirror.copies", Scope: ScopeBucket, Type: "number", Default: "1",
		Help: "on how many mountpaths each target keeps what it has of an object, 1 to 8: a target that loses all but one of them has lost nothing; a change is made as one of `replicas` is"},
		parseMirror)
	BucketMirrored = choice(Setting{Name: "mirror.enabled", Scope: ScopeBucket, Default: "false",
		Help: "whether `mirror.copies` is more than one: true makes it two, false one"}, "false", "true")
	BucketMinCopies = key(Setting{Name: "min_copies", Scope: ScopeBucket, Type: "auto|number", Default: "auto",
		Help: "on how many targets a write must be durable before it is acknowledged, at most `replicas`; with `ec` from D to D+P; auto is one more than are needed to read, where there are as many: two copies, D+1 shards"}, unless(auto, parseReplicas))
	BucketRedirect = choice(Setting{Name: "redirect", Scope: ScopeBucket, Default: byCluster,
		Help: "who is redirected when it is about this bucket, in place of what `s3.redirect` of the cluster says; when that is never, nobody is"},
		byCluster, "auto", "always", "never")
	BucketVersioning = choice(Setting{Name: "versioning", Scope: ScopeBucket, Default: versioningOff,
		Help: "whether what is replaced and deleted stays as versions of the object; once a bucket had them it can only suspend them"},
		versioningOff, string(cluster.VersioningEnabled), string(cluster.VersioningSuspended))
	BucketLock = key(Setting{Name: "object_lock", Scope: ScopeBucket, Type: "off|enabled|MODE:PERIOD", Default: lockOff,
		Help: "whether versions can be locked, and how long a new one is that does not say: governance or compliance, and days or years, as governance:30d or compliance:1y; needs versioning, and a bucket that has it has it for ever"},
		parseLock)
)

// How a user writes that versions cannot be locked in a bucket, or can be.
const (
	lockOff = "off"
	lockOn  = "enabled"
)

// parseLock reads the object lock of a bucket.
func parseLock(v string) (cluster.BucketLock, error) {
	switch v {
	case lockOff:
		return cluster.BucketLock{}, nil
	case lockOn:
		return cluster.BucketLock{Enabled: true}, nil
	}
	mode, period, _ := strings.Cut(v, ":")
	l := cluster.BucketLock{Enabled: true, Mode: cluster.LockMode(strings.ToUpper(mode))}
	number, years := strings.CutSuffix(period, "y")
	number, days := strings.CutSuffix(number, "d")
	n, err := strconv.Atoi(number)
	if err != nil || years == days || n < 1 || !l.Mode.Valid() {
		return l, fmt.Errorf("%q is not off, enabled, or a mode and a period, as governance:30d or compliance:1y", v)
	}
	if years {
		l.Years = n
	} else {
		l.Days = n
	}
	return l, nil
}

// lockText prints what parseLock reads.
func lockText(l cluster.BucketLock) string {
	switch {
	case !l.Enabled:
		return lockOff
	case l.Mode == "":
		return lockOn
	case l.Years > 0:
		return fmt.Sprintf("%s:%dy", strings.ToLower(string(l.Mode)), l.Years)
	}
	return fmt.Sprintf("%s:%dd", strings.ToLower(string(l.Mode)), l.Days)
}

// versioningOff is how a user writes that a bucket never had versions.
const versioningOff = "off"

// auto is how a user leaves a number to the cluster.
const auto = "auto"

// byCluster is how a user writes that a bucket leaves a property to the cluster's setting.
const byCluster = "cluster"

func checksumNames() []string {
	names := make([]string, len(cluster.ChecksumTypes))
	for i, t := range cluster.ChecksumTypes {
		names[i] = string(t)
	}
	return names
}

func parseReplicas(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 8 {
		return 0, fmt.Errorf("%q is not a number of copies from 1 to 8", v)
	}
	return n, nil
}

// parseMirror reads on how many mountpaths an object is to be; one is zero.
func parseMirror(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > cluster.MaxMirror {
		return 0, fmt.Errorf("%q is not a number of copies from 1 to %d", v, cluster.MaxMirror)
	}
	if n == 1 {
		n = 0
	}
	return n, nil
}

// noEC is how a user writes that a bucket keeps copies.
const noEC = "none"

func parseEC(v string) (cluster.Layout, error) {
	if v == noEC {
		return cluster.Layout{}, nil
	}
	data, parity, found := strings.Cut(v, "+")
	d, err1 := strconv.Atoi(data)
	p, err2 := strconv.Atoi(parity)
	l := cluster.Layout{Data: d, Parity: p}
	if !found || err1 != nil || err2 != nil || l.Validate() != nil {
		return l, fmt.Errorf("%q is not D+P: 1 to %d data and 1 to %d parity shards", v, cluster.MaxData, cluster.MaxParity)
	}
	return l, nil
}

// unless returns a parser to which one word means zero.
func unless(word string, parse func(string) (int, error)) func(string) (int, error) {
	return func(v string) (int, error) {
		if v == word {
			return 0, nil
		}
		return parse(v)
	}
}

// NewReplicas returns how many copies a new bucket keeps that does not say so, by the cluster's settings and how many targets
// there are.
func NewReplicas(setting func(name string) string, targets int) int {
	if n := NewBucketReplicas.Get(setting); n > 0 {
		return n
	}
	if targets < 3 {
		return 1
	}
	return 2
}

// DefaultProps returns the properties of a bucket made through the native API; through S3 its checksum type is md5. The number
// of copies is left to the leader.
func DefaultProps() cluster.BucketProps {
	none := func(string) string { return "" }
	return cluster.BucketProps{
		Checksum: cluster.ChecksumType(BucketChecksum.Get(none)),
		Replicas: BucketReplicas.Get(none),
	}
}

// refusedProps are properties of AIStore or of later versions that change how data is kept: they are refused, not ignored.
var refusedProps = []string{"ec", "mirror", "lru", "backend_bck", "write_policy", "chunks", "rate_limit"}

// SetProps changes p by name=value pairs. What is not supported is KindNotImplemented, what is wrong KindInvalid.
func SetProps(p cluster.BucketProps, changes map[string]string) (cluster.BucketProps, error) {
	const op = "cluster/config.SetProps"
	had := p
	for name, value := range changes {
		var err error
		switch name {
		case BucketChecksum.Name:
			var s string
			s, err = BucketChecksum.Parse(value)
			p.Checksum = cluster.ChecksumType(s)
		case BucketReplicas.Name:
			p.Replicas, err = newReplicas(p.Replicas, value)
		case BucketEC.Name:
			var l cluster.Layout
			l, err = BucketEC.Parse(value)
			p.Data, p.Parity = l.Data, l.Parity
		case BucketMirror.Name:
			p.Mirror, err = BucketMirror.Parse(value)
		case BucketMirrored.Name:
		case BucketMinCopies.Name:
			p.MinCopies, err = BucketMinCopies.Parse(value)
		case BucketVersioning.Name:
			p.Versioning, err = newVersioning(p.Versioning, value)
		case BucketLock.Name:
			p.Lock, err = BucketLock.Parse(value)
			if err == nil && had.Lock.Enabled && !p.Lock.Enabled {
				err = fmt.Errorf("%s: a bucket that has object lock has it for ever", name)
			}
		case BucketRedirect.Name:
			p.Redirect, err = BucketRedirect.Parse(value)
			if p.Redirect == byCluster {
				p.Redirect = ""
			}
		default:
			return p, refuseProp(name)
		}
		if err != nil {
			return p, cluster.E(op, "", cluster.KindInvalid, err)
		}
	}
	if err := setMirrored(&p, changes); err != nil {
		return p, cluster.E(op, "", cluster.KindInvalid, err)
	}
	_, copies := changes[BucketReplicas.Name]
	_, shards := changes[BucketEC.Name]
	switch {
	case shards && !copies && p.Data > 0:
		p.Replicas = 0
	case copies && !shards && p.Replicas > 0:
		p.Data, p.Parity = 0, 0
	case shards && !copies && had.Data > 0:
		return p, cluster.Fail(op, BucketEC.Name, cluster.KindInvalid, "say how many replicas the bucket is to keep in place of shards")
	}
	if err := p.Validate(); err != nil {
		return p, cluster.E(op, "", cluster.KindInvalid, err)
	}
	return p, nil
}

// setMirrored carries out a change of mirror.enabled, which is about mirror.copies.
func setMirrored(p *cluster.BucketProps, changes map[string]string) error {
	value, changed := changes[BucketMirrored.Name]
	if !changed {
		return nil
	}
	said, err := BucketMirrored.Parse(value)
	enabled := said == "true"
	_, copies := changes[BucketMirror.Name]
	switch {
	case err != nil:
		return err
	case copies && enabled != (p.Mirror > 0):
		return fmt.Errorf("%s=%s contradicts %s=%s", BucketMirrored.Name, value, BucketMirror.Name, changes[BucketMirror.Name])
	case !enabled:
		p.Mirror = 0
	case p.Mirror == 0:
		p.Mirror = 2
	}
	return nil
}

// newReplicas reads the number of copies of a bucket that has so many, or none while it is being made.
func newReplicas(has int, value string) (int, error) {
	n, err := BucketReplicas.Parse(value)
	if err == nil && n == 0 && has > 0 {
		return has, fmt.Errorf("%s: %s is for buckets that are being made", BucketReplicas.Name, value)
	}
	return n, err
}

// newVersioning reads what a bucket does with versions, which had them or not.
func newVersioning(had cluster.Versioning, value string) (cluster.Versioning, error) {
	v, err := BucketVersioning.Parse(value)
	if v == versioningOff {
		v = string(cluster.VersioningOff)
	}
	if err == nil && v == "" && had != cluster.VersioningOff {
		return had, fmt.Errorf("%s: a bucket that had versions can only suspend them", BucketVersioning.Name)
	}
	return cluster.Versioning(v), err
}

func refuseProp(name string) error {
	const op = "cluster/config.SetProps"
	section, _, _ := strings.Cut(name, ".")
	for _, refused := range refusedProps {
		if section == refused {
			return cluster.Fail(op, name, cluster.KindNotImplemented, "this property is not implemented yet")
		}
	}
	return cluster.Fail(op, name, cluster.KindInvalid, "there is no such bucket property; there are "+strings.Join(namesOf(Bucket()), ", "))
}

// PropsMap returns the properties as name=value pairs.
func PropsMap(p cluster.BucketProps) map[string]string {
	return map[string]string{
		BucketChecksum.Name:   string(p.Checksum),
		BucketReplicas.Name:   numberOr(byCluster, p.Replicas),
		BucketEC.Name:         ecText(p),
		BucketMirror.Name:     strconv.Itoa(max(p.Mirror, 1)),
		BucketMirrored.Name:   strconv.FormatBool(p.Mirror > 0),
		BucketMinCopies.Name:  numberOr(auto, p.MinCopies),
		BucketRedirect.Name:   cmp.Or(p.Redirect, byCluster),
		BucketVersioning.Name: cmp.Or(string(p.Versioning), versioningOff),
		BucketLock.Name:       lockText(p.Lock),
	}
}

// ecText prints the shards of a bucket.
func ecText(p cluster.BucketProps) string {
	if p.Data == 0 {
		return noEC
	}
	return fmt.Sprintf("%d+%d", p.Data, p.Parity)
}

// numberOr prints a number for which zero has a word.
func numberOr(word string, n int) string {
	if n == 0 {
		return word
	}
	return strconv.Itoa(n)
}
