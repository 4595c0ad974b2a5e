package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata with what the code says now")

// TestTranscripts runs the commands of each transcript and compares what the state machine says, line by line. A
// transcript is a list of "> command" lines, each followed by its output.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: the state machine says otherwise (rewrite with -update and read the difference):\n%s", path, got)
			}
		})
	}
}

func replay(t *testing.T, script string) string {
	in := &interpreter{t: t, s: New(), index: 10, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "#") || line == "":
			fmt.Fprintln(&out, line)
		case strings.HasPrefix(line, "> "):
			fmt.Fprintf(&out, "%s\n%s", line, in.run(strings.Fields(line[2:])))
		}
	}
	return out.String()
}

// interpreter turns the words of a transcript into commands.
type interpreter struct {
	t     *testing.T
	s     *State
	index uint64
	term  uint64
	now   time.Time
}

func (in *interpreter) run(words []string) string {
	var c Command
	arg := arguments(words[1:])
	switch words[0] {
	case "after":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			in.t.Fatal(err)
		}
		in.now = in.now.Add(d)
		return ""
	case "term":
		in.term = number(in.t, words[1])
		return ""
	case "snapshot":
		return in.snapshot()
	case "raw":
		return in.apply([]byte(strings.Join(words[1:], " ")))
	case "restore":
		_, err := Restore([]byte(strings.Join(words[1:], " ")))
		return fmt.Sprintf("  error: %v\n", err)
	case "show":
		return in.show()
	case "take-office":
		c.TakeOffice = &TakeOffice{}
	case "form":
		n := in.nodes(arg["node"])[0]
		c.Form = &Form{ClusterID: "c1", Format: Format, Node: n, Keys: []Key{{ID: "root", Sealed: []byte{1}, Root: true}}}
	case "propose":
		nodes, leave := in.nodes(arg["nodes"]), cluster.NodeID(arg["leave"])
		moves := Moves(in.s.Active, nodes, roundRobin)
		for _, w := range list(arg["moves"], ";") {
			id, slots, _ := strings.Cut(w, ":")
			moves[cluster.NodeID(id)] = in.slots(slots)
		}
		c.Propose = &Propose{Base: cluster.MapVersion(number(in.t, arg["base"])), Nodes: nodes, Leave: leave, Moves: moves}
	case "add-layout":
		c.AddLayout = &AddLayout{
			Base: cluster.MapVersion(number(in.t, arg["base"])), Layout: in.layout(arg), Slots: in.placements(arg["slots"]),
		}
	case "reshape":
		c.Reshape = &Reshape{Base: cluster.MapVersion(number(in.t, arg["base"])), Changes: in.placements(arg["slots"])}
	case "in-sync":
		n := in.nodes(arg["node"])[0]
		c.InSync = &InSync{Node: n.ID, Incarnation: n.Incarnation, Slots: make(map[cluster.Epoch]*cluster.SlotSet)}
		for _, w := range list(arg["slots"], ";") {
			epoch, slots, _ := strings.Cut(w, ":")
			c.InSync.Slots[cluster.Epoch(number(in.t, epoch))] = in.slots(slots)
		}
	case "mountpaths":
		n := in.nodes(arg["node"])[0]
		c.SetMountpaths = &SetMountpaths{Node: n.ID, Incarnation: n.Incarnation, Serial: number(in.t, arg["serial"]), Lost: arg["lost"] != ""}
		for _, w := range list(arg["set"], ",") {
			id, failed := strings.CutSuffix(w, "!")
			mp := cluster.Mountpath{ID: cluster.MountpathID(id), Weight: 1}
			if failed {
				mp.State = cluster.MountpathFailed
			}
			c.SetMountpaths.Mountpaths = append(c.SetMountpaths.Mountpaths, mp)
		}
		if arg["kept"] != "" {
			c.SetMountpaths.Kept = in.slots(arg["kept"])
		}
	case "activate":
		c.Activate = &Activate{Version: cluster.MapVersion(number(in.t, arg["version"])), Kept: in.kept(arg["keep"])}
	case "cancel":
		c.Cancel = &Cancel{Version: cluster.MapVersion(number(in.t, arg["version"]))}
	case "create":
		c.CreateBucket = &CreateBucket{Bucket: in.bucket(arg), Props: props(arg), Creator: "root", Owner: arg["owner"]}
		for _, w := range list(arg["configs"], ";") {
			kind, value, _ := strings.Cut(w, ":")
			c.CreateBucket.Configs = append(c.CreateBucket.Configs, &cluster.BucketConfig{Kind: kind, Value: []byte(value)})
		}
	case "props":
		c.SetBucketProps = &SetBucketProps{Bucket: in.bucket(arg), Props: props(arg)}
		if was := arg["was"]; was != "" {
			c.SetBucketProps.Was = &cluster.BucketProps{Checksum: cluster.ChecksumType(was), Replicas: 1}
		}
	case "config":
		set := &SetBucketConfig{Bucket: in.bucket(arg), Config: &cluster.BucketConfig{Kind: arg["kind"]}}
		if value, ok := arg["value"]; ok {
			set.Config.Value = []byte(value)
		}
		if n := arg["size"]; n != "" {
			set.Config.Value = make([]byte, number(in.t, n))
		}
		c.SetBucketConfig = set
	case "begin-delete":
		c.BeginDelete = &BeginDelete{Bucket: in.bucket(arg)}
	case "end-delete":
		c.EndDelete = &EndDelete{Deletion: number(in.t, arg["deletion"])}
		if arg["restore"] != "" {
			c.EndDelete.Refusal = Refuse(cluster.ParseKind(arg["restore"]), "", "because")
		}
	case "identities":
		c.ChangeIdentities = identities(in.t, arg)
	case "encryption-key":
		set := &SetEncryptionKey{Name: arg["name"], Base: number(in.t, cmp.Or(arg["base"], "0")), Add: []byte(arg["add"]), Remove: arg["remove"] != ""}
		for _, w := range list(arg["resealed"], ",") {
			set.Resealed = append(set.Resealed, []byte(w))
		}
		c.SetEncryptionKey = set
	case "convert":
		c.Convert = &Convert{Conversion: number(in.t, arg["conversion"])}
		if arg["restore"] != "" {
			c.Convert.Refusal = Refuse(cluster.ParseKind(arg["restore"]), "", "because")
		}
	case "end-conversion":
		c.EndConversion = &EndConversion{Conversion: number(in.t, arg["conversion"])}
	case "set":
		c.SetSettings = &SetSettings{Values: map[string]string{arg["name"]: arg["value"]}}
	case "mode":
		c.SetModes = &SetModes{Modes: make(map[cluster.NodeID]cluster.NodeMode)}
		for _, id := range list(arg["nodes"], ",") {
			c.SetModes.Modes[cluster.NodeID(id)] = cluster.NodeMode(arg["mode"])
		}
	default:
		in.t.Fatalf("unknown command %q", words[0])
	}
	c.Time, c.Term, c.Request = in.now, in.term, cluster.RequestID(arg["request"])
	data, err := c.Encode()
	if err != nil {
		in.t.Fatal(err)
	}
	return in.apply(data)
}

func arguments(words []string) map[string]string {
	arg := make(map[string]string)
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		arg[name] = value
	}
	return arg
}

func number(t *testing.T, s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// nodes reads "a/1,b/7/proxy": id, incarnation and, unless both, roles.
func (in *interpreter) nodes(list string) []cluster.Node {
	var nodes []cluster.Node
	for w := range strings.SplitSeq(list, ",") {
		if w == "" {
			continue
		}
		parts := strings.Split(w, "/")
		n := cluster.Node{ID: cluster.NodeID(parts[0]), Roles: cluster.Proxy | cluster.Target, Weight: 1, Incarnation: cluster.Incarnation(number(in.t, parts[1]))}
		if len(parts) > 2 {
			n.Roles, _ = cluster.ParseRoles(parts[2])
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func (in *interpreter) bucket(arg map[string]string) cluster.Bucket {
	return cluster.Native(cluster.BucketName(arg["bucket"]))
}

func props(arg map[string]string) cluster.BucketProps {
	replicas, _ := strconv.Atoi(arg["replicas"])
	minCopies, _ := strconv.Atoi(arg["min_copies"])
	return cluster.BucketProps{
		Checksum: cluster.ChecksumType(arg["checksum"]), Replicas: max(replicas, 1), MinCopies: minCopies,
		Versioning: cluster.Versioning(arg["versioning"]), Lock: bucketLock(arg["lock"]),
	}
}

// bucketLock reads "on", or "GOVERNANCE:30": mode and days.
func bucketLock(s string) cluster.BucketLock {
	if s == "" || s == "on" {
		return cluster.BucketLock{Enabled: s == "on"}
	}
	mode, days, _ := strings.Cut(s, ":")
	n, _ := strconv.Atoi(days)
	return cluster.BucketLock{Enabled: true, Mode: cluster.LockMode(mode), Days: n}
}

func list(s, separator string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, separator)
}

// slots reads "1/0-99": hash ranges of a layout; or "@a": what a node owns.
func (in *interpreter) slots(s string) *cluster.SlotSet {
	set := &cluster.SlotSet{}
	if owner, ok := strings.CutPrefix(s, "@"); ok {
		for i := range in.s.Active.Slots {
			if in.s.Active.Slots[i].Owner() == cluster.NodeID(owner) {
				set.Add(cluster.Slot(i))
			}
		}
		return set
	}
	layout, ranges, _ := strings.Cut(s, "/")
	from, to, _ := strings.Cut(ranges, "-")
	for i := number(in.t, from); i <= number(in.t, to); i++ {
		set.Add(cluster.SlotIn(cluster.LayoutID(number(in.t, layout)), int(i)))
	}
	return set
}

// placements reads "1/0-99:a,b~;1/100-199:b": who holds some slots; ~ is who catches up.
// layout reads "copies=2" or "shards=2+1".
func (in *interpreter) layout(arg map[string]string) cluster.Layout {
	if data, parity, ok := strings.Cut(arg["shards"], "+"); ok {
		return cluster.Layout{Data: int(number(in.t, data)), Parity: int(number(in.t, parity))}
	}
	return cluster.Layout{Copies: int(number(in.t, arg["copies"]))}
}

func (in *interpreter) placements(s string) []Placement {
	var all []Placement
	for _, w := range list(s, ";") {
		slots, holders, _ := strings.Cut(w, ":")
		p := Placement{Slots: in.slots(slots)}
		for _, h := range list(holders, ",") {
			h, catchesUp := strings.CutSuffix(h, "~")
			id, shard, ok := strings.Cut(h, ".")
			place := Place{Node: cluster.NodeID(id), InSync: !catchesUp}
			if ok {
				place.Shard = uint8(number(in.t, shard))
			}
			p.Holders = append(p.Holders, place)
		}
		all = append(all, p)
	}
	return all
}

// kept reads "a:3,b:all": how many of the slots that each node would lose stay.
func (in *interpreter) kept(list string) *cluster.SlotSet {
	var kept cluster.SlotSet
	for w := range strings.SplitSeq(list, ",") {
		id, count, ok := strings.Cut(w, ":")
		if !ok {
			continue
		}
		taken := slices.Collect(Taken(in.s.Active, in.s.Pending, cluster.NodeID(id)).All())
		if count != "all" {
			taken = taken[:number(in.t, count)]
		}
		kept.AddAll(cluster.SetOf(taken...))
	}
	return &kept
}

// roundRobin keeps transcripts small: numbers of slots that one can check in the head.
func roundRobin(targets []cluster.Node) func(cluster.Slot) []cluster.NodeID {
	return func(s cluster.Slot) []cluster.NodeID { return []cluster.NodeID{targets[int(s)%len(targets)].ID} }
}

func (in *interpreter) apply(data []byte) string {
	in.index++
	before, _ := in.s.Snapshot()
	next, result, err := in.s.Apply(in.index, data)
	if after, _ := in.s.Snapshot(); !bytes.Equal(before, after) {
		in.t.Errorf("command %d changed the state that it was applied to: %s", in.index, data)
	}
	if fatal := (*FatalError)(nil); errors.As(err, &fatal) {
		return fmt.Sprintf("  %d fatal: %v\n", in.index, err)
	}
	in.s = next
	line, _ := json.Marshal(result)
	return fmt.Sprintf("  %d %s\n", in.index, line)
}

func (in *interpreter) snapshot() string {
	data, err := in.s.Snapshot()
	if err != nil {
		in.t.Fatal(err)
	}
	restored, err := Restore(data)
	if err != nil {
		in.t.Fatal(err)
	}
	again, _ := restored.Snapshot()
	in.s = restored
	return fmt.Sprintf("  same after restore: %v\n", bytes.Equal(data, again))
}

func (in *interpreter) show() string {
	var b strings.Builder
	showMap(&b, "active", in.s.Active)
	if in.s.Pending != nil {
		showMap(&b, "pending", in.s.Pending)
	}
	for _, e := range in.s.Buckets {
		fmt.Fprintf(&b, "  bucket %d %s %s %s", e.ID, e.Bucket, e.Props.Checksum, e.State)
		if e.Under != 0 {
			fmt.Fprintf(&b, " over %d", e.Under)
		}
		b.WriteByte('\n')
	}
	for _, c := range in.s.Conversions {
		fmt.Fprintf(&b, "  conversion %d of %s from %d, moving: %v\n", c.Index, c.Bucket, c.From, c.Moving)
	}
	for _, c := range in.s.Configs {
		fmt.Fprintf(&b, "  configs of bucket %d:", c.Bucket)
		for _, config := range c.List {
			fmt.Fprintf(&b, " %s=%s", config.Kind, config.Value)
		}
		fmt.Fprintln(&b)
	}
	for _, k := range in.s.EncryptionKeys {
		fmt.Fprintf(&b, "  encryption key %s, revision %d:", k.Name, k.Revision)
		for _, v := range k.Versions {
			fmt.Fprintf(&b, " %d=%s", v.Number, v.Sealed)
		}
		fmt.Fprintln(&b)
	}
	for _, d := range in.s.Deletions {
		fmt.Fprintf(&b, "  deletion %d of bucket %d\n", d.Index, d.Bucket)
	}
	for name, value := range in.s.Settings {
		fmt.Fprintf(&b, "  setting %s=%s\n", name, value)
	}
	if in.s.Identities.Version > 0 {
		fmt.Fprintf(&b, "  identities %d:", in.s.Identities.Version)
		for _, u := range in.s.Identities.Users {
			fmt.Fprintf(&b, " %s", u.Name)
		}
		for _, k := range in.s.Keys {
			fmt.Fprintf(&b, " %s(%s)", k.ID, k.User)
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "  bmd %d, %d outcomes\n", in.s.BMDVersion, len(in.s.Outcomes))
	return b.String()
}

// showMap prints a map, how many slots each owner has at each epoch, and who holds those of which there are more copies.
func showMap(b *strings.Builder, name string, m *cluster.Map) {
	fmt.Fprintf(b, "  %s v%d:", name, m.Version)
	for _, n := range m.Nodes {
		fmt.Fprintf(b, " %s/%d", n.ID, n.Incarnation)
		if n.Mode != cluster.NodeActive {
			fmt.Fprintf(b, "!%s", n.Mode)
		}
		for _, mp := range n.Mountpaths {
			fmt.Fprintf(b, " [%s %s]", mp.ID, cmp.Or(mp.State, "enabled"))
		}
		epochs := make(map[cluster.Epoch]int)
		last := cluster.Epoch(0)
		for i := range m.Slots {
			if owner, epoch := m.Owner(cluster.Slot(i)); owner == n.ID {
				epochs[epoch]++
				last = max(last, epoch)
			}
		}
		for e := cluster.Epoch(0); e <= last; e++ {
			if epochs[e] > 0 {
				fmt.Fprintf(b, " %dx@%d", epochs[e], e)
			}
		}
	}
	fmt.Fprintln(b)
	for id, layout := range m.Layouts {
		showHolders(b, m, cluster.LayoutID(id), layout)
	}
}

// showHolders prints runs of slots that have the same holders.
func showHolders(b *strings.Builder, m *cluster.Map, id cluster.LayoutID, layout cluster.Layout) {
	last, first := "", 0
	for i := range cluster.Slots + 1 {
		line := ""
		if i < cluster.Slots {
			if s := m.Slot(cluster.SlotIn(id, i)); len(s.Holders) > 1 || layout.Width() > 1 {
				line = fmt.Sprintf("@%d owned @%d:", s.Epoch, s.Owned)
				for _, h := range s.Holders {
					line += " " + string(h.Node)
					if layout.Data > 0 {
						line += fmt.Sprintf(".%d", h.Shard)
					}
					line += fmt.Sprintf("@%d", h.Admitted)
					if !h.InSync {
						line += "~"
					}
					if h.Partial {
						line += "!"
					}
				}
			}
		}
		if line != last {
			if last != "" {
				fmt.Fprintf(b, "    %s, slots %d/%d-%d %s\n", layout, id, first, i-1, last)
			}
			last, first = line, i
		}
	}
}

// identities reads "base=0 users=ann,-bob keys=AK:ann,-AK2": what is put, and what is removed.
func identities(t *testing.T, arg map[string]string) *ChangeIdentities {
	c := &ChangeIdentities{Change: cluster.IdentityChange{Base: number(t, arg["base"])}}
	for _, w := range list(arg["users"], ",") {
		if name, gone := strings.CutPrefix(w, "-"); gone {
			c.Change.Users = append(c.Change.Users, cluster.UserName(name))
		} else {
			c.Change.Put.Users = append(c.Change.Put.Users, cluster.User{Name: cluster.UserName(w)})
		}
	}
	for _, w := range list(arg["keys"], ",") {
		if id, gone := strings.CutPrefix(w, "-"); gone {
			c.RemoveKeys = append(c.RemoveKeys, cluster.AccessKeyID(id))
		} else {
			id, user, _ := strings.Cut(w, ":")
			c.Keys = append(c.Keys, Key{ID: cluster.AccessKeyID(id), User: cluster.UserName(user)})
		}
	}
	return c
}
