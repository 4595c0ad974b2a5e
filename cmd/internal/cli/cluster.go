package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/proxy/client"
	"github.com/spf13/cobra"
)

func (a *app) show() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the cluster, its map, buckets, an object, settings, jobs", RunE: group}
	settings := &cobra.Command{Use: "config", Short: "Show settings", RunE: group}
	settings.AddCommand(a.configShow("cluster"))
	c.AddCommand(a.showCluster(), a.showSmap(), a.showBMD(), a.bucketShow("bucket"), a.objectShow("object"), settings,
		a.showJob("job"), a.showRebalance("rebalance"), a.showScrub("scrub"),
		a.showMountpath("mountpath"))
	return c
}

func (a *app) showSmap() *cobra.Command {
	return a.tabular(a.command("smap", "Show the cluster map", 0, 0, func(ctx context.Context, c *client.Client, _ []string) error {
		smap, err := c.Smap(ctx)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(smap)
		}
		primary := primaryOf(smap)
		t := a.table("NODE", "TYPE", "PUBLIC URL", "INTRA CONTROL URL", "INTRA DATA URL")
		for _, table := range []map[string]api.Snode{smap.Proxies, smap.Targets} {
			for _, id := range slices.Sorted(maps.Keys(table)) {
				n := table[id]
				t.row(nodeName(n, primary), n.Type, n.Public.URL, n.IntraControl.URL, n.IntraData.URL)
			}
		}
		if err := t.end(); err != nil {
			return err
		}
		a.printf("\nPrimary: %s\nVersion: %s\nUUID:    %s\n", primary, smap.Version, smap.UUID)
		if smap.Pending != "" {
			a.printf("Pending: %s\n", smap.Pending)
		}
		return nil
	}))
}

func primaryOf(s api.Smap) string {
	if s.Primary == nil {
		return ""
	}
	return s.Primary.ID
}

// nodeName prints a node as AIStore does: p[ID], p[ID][P] for the primary, t[ID].
func nodeName(n api.Snode, primary string) string {
	switch {
	case n.Type == "target":
		return "t[" + n.ID + "]"
	case n.ID == primary:
		return "p[" + n.ID + "][P]"
	}
	return "p[" + n.ID + "]"
}

func ecColumn(ec api.ECConf) string {
	if !ec.Enabled {
		return ""
	}
	return fmt.Sprintf("%d/%d", ec.DataSlices, ec.ParitySlices)
}

func (a *app) showBMD() *cobra.Command {
	return a.tabular(a.command("bmd", "Show the bucket table", 0, 0, func(ctx context.Context, c *client.Client, _ []string) error {
		bmd, err := c.BMD(ctx)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(bmd)
		}
		t := a.table("PROVIDER", "NAMESPACE", "NAME", "BACKEND", "COPIES", "EC(D/P, minsize)", "CREATED")
		for _, provider := range slices.Sorted(maps.Keys(bmd.Providers)) {
			for _, ns := range slices.Sorted(maps.Keys(bmd.Providers[provider])) {
				buckets := bmd.Providers[provider][ns]
				for _, b := range slices.Sorted(maps.Keys(buckets)) {
					p := buckets[b]
					t.row(provider, strings.TrimPrefix(ns, "@#"), b, "", fmt.Sprint(p.Replicas), ecColumn(p.EC), formatTime(time.Unix(0, p.Created)))
				}
			}
		}
		if err := t.end(); err != nil {
			return err
		}
		a.printf("\nVersion: %s\nUUID:    %s\n", bmd.Version, bmd.UUID)
		return nil
	}))
}

// overview is everything that `show cluster` prints.
type overview struct {
	Smap   api.Smap                  `json:"smap"`
	Status map[string]api.NodeStatus `json:"status"`
}

func (a *app) showCluster() *cobra.Command {
	cmd := a.tabular(a.command("cluster", "Show the nodes and their state", 0, 0, func(ctx context.Context, c *client.Client, _ []string) error {
		o, err := look(ctx, c)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(o)
		}
		if err := a.printProxies(o); err != nil {
			return err
		}
		if err := a.printTargets(o); err != nil {
			return err
		}
		return a.printSummary(c.Endpoint(), o)
	}))
	cmd.AddCommand(a.showSmap(), a.showBMD())
	return cmd
}

// look asks every node how it is; one that does not answer has a status that says so.
func look(ctx context.Context, c *client.Client) (overview, error) {
	o := overview{Status: make(map[string]api.NodeStatus)}
	var err error
	if o.Smap, err = c.Smap(ctx); err != nil {
		return o, err
	}
	for _, got := range askNodes(ctx, 3*time.Second, nodeIDs(o.Smap), c.NodeStatus) {
		if got.err != nil {
			got.value.Status = "offline"
			if cluster.Is(got.err, cluster.KindNotImplemented) {
				got.value.Status = "unknown"
			}
		}
		o.Status[got.node] = got.value
	}
	return o, nil
}

// nodeIDs returns the ids of all nodes, in order.
func nodeIDs(smap api.Smap) []string {
	ids := make(map[string]bool)
	for _, table := range []map[string]api.Snode{smap.Proxies, smap.Targets} {
		for id := range table {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func (o *overview) name(n api.Snode) string {
	text := nodeName(n, primaryOf(o.Smap))
	if o.Status[n.ID].Status != "online" {
		text += "[x]"
	}
	return text
}

// state prints whether a node answers, and what an administrator wants of it.
func (o *overview) state(n api.Snode) string {
	state := o.Status[n.ID].Status
	switch {
	case n.Mode == string(cluster.NodeDrained) && n.Held > 0:
		return fmt.Sprintf("%s, maintenance: %d slots to move", state, n.Held)
	case n.Mode == string(cluster.NodeDrained):
		return state + ", maintenance: drained"
	case n.Mode == string(cluster.NodeDecommission):
		return fmt.Sprintf("%s, decommission: %d slots to move", state, n.Held)
	case n.Mode != "":
		return state + ", " + n.Mode
	}
	return state
}

func (a *app) printProxies(o overview) error {
	t := a.table("PROXY", "MEM USED(%)", "MEM AVAIL", "SYS CPU(%)", "UPTIME", "STATUS", "ALERT")
	for _, id := range slices.Sorted(maps.Keys(o.Smap.Proxies)) {
		s := o.Status[id]
		t.row(o.name(o.Smap.Proxies[id]), percent(s, s.System.MemPercent), a.available(s, s.System.MemAvail), percent(s, s.System.CPUPercent),
			uptime(s), o.state(o.Smap.Proxies[id]), alert(s))
	}
	return t.end()
}

func (a *app) printTargets(o overview) error {
	if len(o.Smap.Targets) == 0 {
		return nil
	}
	a.printf("\n")
	t := a.table("TARGET", "MEM USED(%)", "MEM AVAIL", "CAP USED(%)", "CAP AVAIL", "SYS CPU(%)", "UPTIME", "STATUS", "ALERT")
	for _, id := range slices.Sorted(maps.Keys(o.Smap.Targets)) {
		s := o.Status[id]
		t.row(o.name(o.Smap.Targets[id]), percent(s, s.System.MemPercent), a.available(s, s.System.MemAvail), percent(s, s.Capacity.Percent),
			a.available(s, s.Capacity.Avail), percent(s, s.System.CPUPercent), uptime(s), o.state(o.Smap.Targets[id]), alert(s))
	}
	return t.end()
}

func percent(s api.NodeStatus, v float64) string {
	if s.Status != "online" {
		return ""
	}
	return fmt.Sprintf("%.2f%%", v)
}

func (a *app) available(s api.NodeStatus, n uint64) string {
	if s.Status != "online" {
		return ""
	}
	return a.size(int64(n))
}

func uptime(s api.NodeStatus) string {
	if s.Uptime <= 0 {
		return ""
	}
	return s.Uptime.Round(time.Second).String()
}

// alert names what is wrong with a node that answers.
func alert(s api.NodeStatus) string {
	var alerts []string
	if s.Status == "online" && !s.Lease {
		alerts = append(alerts, "no lease")
	}
	for _, path := range slices.Sorted(maps.Keys(s.Capacity.Mountpaths)) {
		switch mp := s.Capacity.Mountpaths[path]; {
		case mp.Failed != "":
			alerts = append(alerts, path+": "+mp.Failed)
		case mp.State == "full":
			alerts = append(alerts, path+": full")
		}
	}
	return strings.Join(alerts, "; ")
}

func (a *app) printSummary(endpoint string, o overview) error {
	var used, available uint64
	disks, online, version := 0, 0, ""
	for _, n := range o.Smap.Targets {
		disks += n.Mountpaths
	}
	for _, s := range o.Status {
		used, available = used+s.Capacity.Used, available+s.Capacity.Avail
		if s.Status == "online" {
			online, version = online+1, s.Version
		}
	}
	a.printf("\n")
	t := a.table()
	for _, r := range [][2]string{
		{"Endpoint:", endpoint},
		{"Proxies:", fmt.Sprint(len(o.Smap.Proxies))},
		{"Targets:", fmt.Sprintf("%d (total disks: %d)", len(o.Smap.Targets), disks)},
		{"Capacity:", fmt.Sprintf("used %s, available %s", a.size(int64(used)), a.size(int64(available)))},
		{"Cluster Map:", fmt.Sprintf("version %s, UUID %s, primary p[%s]", o.Smap.Version, o.Smap.UUID, primaryOf(o.Smap))},
		{"Status:", fmt.Sprintf("%d online of %d", online, len(o.Status))},
		{"Version:", version},
	} {
		t.row(r[0], r[1])
	}
	return t.end()
}

func (a *app) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show and change cluster settings", RunE: group}
	show := &cobra.Command{Use: "show", Short: "Show settings", RunE: group}
	show.AddCommand(a.configShow("cluster"))
	c.AddCommand(a.configCluster(), a.configReset(), show)
	return c
}

func (a *app) configShow(verb string) *cobra.Command {
	return a.tabular(a.command(verb+" [SECTION]", "Show the cluster settings", 0, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			return a.printSettings(ctx, c, strings.Join(args, ""))
		}))
}

// printSettings prints the cluster settings whose names begin with a prefix.
func (a *app) printSettings(ctx context.Context, c *client.Client, prefix string) error {
	settings, err := c.Settings(ctx)
	if err != nil {
		return err
	}
	maps.DeleteFunc(settings, func(name, _ string) bool { return !strings.HasPrefix(name, prefix) })
	if len(settings) == 0 {
		return &usageError{fmt.Sprintf("no cluster setting begins with %q; see: aisle config cluster", prefix)}
	}
	if a.json {
		return a.printJSON(settings)
	}
	t := a.table("PROPERTY", "VALUE", "DEFAULT")
	defaults := config.Effective(nil)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		t.row(name, settings[name], defaults[name])
	}
	return t.end()
}

func (a *app) configCluster() *cobra.Command {
	return a.tabular(a.command("cluster [SECTION | NAME=VALUE...]", "Show or change cluster settings", 0, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 0 || len(args) == 1 && !strings.Contains(args[0], "=") {
				return a.printSettings(ctx, c, strings.Join(args, ""))
			}
			changes, err := parsePairs(args)
			if err != nil {
				return err
			}
			before, err := c.Settings(ctx)
			if err != nil {
				return err
			}
			if err := c.SetSettings(ctx, changes); err != nil {
				return err
			}
			a.printChanges(before, changes)
			if restart := needRestart(changes); len(restart) > 0 {
				a.printf("Warning: nodes use %s from their next start on.\n", strings.Join(restart, ", "))
			}
			return nil
		}))
}

func needRestart(changes map[string]string) []string {
	var names []string
	for _, s := range config.Cluster() {
		if _, changed := changes[s.Name]; changed && s.Restart {
			names = append(names, s.Name)
		}
	}
	return names
}

func (a *app) configReset() *cobra.Command {
	return a.command("reset", "Set all cluster settings back to their defaults", 0, 0,
		func(ctx context.Context, c *client.Client, _ []string) error {
			if err := c.ResetSettings(ctx); err != nil {
				return err
			}
			a.printf("All cluster settings are back at their defaults.\n")
			return nil
		})
}
