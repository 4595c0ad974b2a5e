package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

func (a *app) storageMountpath() *cobra.Command {
	c := &cobra.Command{Use: "mountpath", Short: "Attach, detach, enable and disable the disks of targets", RunE: group}
	c.AddCommand(
		a.changeMountpath("attach", api.ActionAttach, "Take an empty directory into use, and move objects onto it", "Attached; objects are being moved onto it"),
		a.detachMountpath(),
		a.changeMountpath("enable", api.ActionEnable, "Use a mountpath again that was disabled", "Enabled; objects are being moved onto it"),
		a.changeMountpath("disable", api.ActionDisable, "Move the objects of a mountpath to the others of its target, and keep it empty", "Objects are being moved away from it; then it is disabled"),
	)
	return c
}

func (a *app) storageShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the disks of targets", RunE: group}
	c.AddCommand(a.showMountpath("mountpath"))
	return c
}

func (a *app) changeMountpath(verb, action, short, done string) *cobra.Command {
	cmd := a.command(verb+" NODE_ID=MOUNTPATH...", short, 1, -1, func(ctx context.Context, c *client.Client, args []string) error {
		return a.changeMountpaths(ctx, c, args, action, false, done)
	})
	cmd.Long = short + ".\n\nObjects are read and written meanwhile. To follow it: aisle show job resilver, aisle show mountpath"
	return cmd
}

func (a *app) detachMountpath() *cobra.Command {
	var force bool
	const done = "Objects are being moved away from it; then it is forgotten"
	cmd := a.command("detach NODE_ID=MOUNTPATH...", "Move the objects of a mountpath to the others of its target, then forget it", 1, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			return a.changeMountpaths(ctx, c, args, api.ActionDetach, force, done)
		})
	cmd.Long = `Move the objects of a mountpath to the others of its target, then forget it.

Objects are read and written meanwhile. To follow it: aisle show job resilver, aisle show mountpath. A mountpath that has failed is forgotten at once
when other targets have what was on it. Where none has, it is refused, and --force says that these objects may be lost.

The node lets go of the disk when it is started the next time. A mountpath that was detached is used again only when it was emptied.`
	cmd.Flags().BoolVar(&force, "force", false, "also when objects are lost by it")
	return cmd
}

func (a *app) changeMountpaths(ctx context.Context, c *client.Client, args []string, action string, force bool, done string) error {
	for _, arg := range args {
		if id, path, ok := strings.Cut(arg, "="); !ok || id == "" || path == "" {
			return &usageError{fmt.Sprintf("%q does not name a mountpath: want NODE_ID=MOUNTPATH", arg)}
		}
	}
	for _, arg := range args {
		id, path, _ := strings.Cut(arg, "=")
		if err := c.ChangeMountpath(ctx, cluster.NodeID(id), action, path, force); err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		a.printf("%s: %s.\n", arg, done)
	}
	return nil
}

func (a *app) showMountpath(verb string) *cobra.Command {
	return a.tabular(a.command(verb+" [NODE_ID...]", "Show the mountpaths of targets: space and state", 0, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			ids, err := targetsNamed(ctx, c, args)
			if err != nil {
				return err
			}
			all, silent := make(map[string]map[string]api.MountpathStatus), []string(nil)
			for _, id := range ids {
				if s, err := c.NodeStatus(ctx, cluster.NodeID(id)); err == nil {
					all[id] = s.Capacity.Mountpaths
				} else {
					silent = append(silent, id)
				}
			}
			if a.json {
				return a.printJSON(all)
			}
			for _, id := range silent {
				a.printf("Node %s does not answer: its mountpaths are not shown.\n", id)
			}
			t := a.table("NODE", "MOUNTPATH", "ID", "USED", "AVAIL", "STATE")
			for _, id := range ids {
				for _, path := range slices.Sorted(maps.Keys(all[id])) {
					m := all[id][path]
					state := m.State
					if m.Failed != "" {
						state += ": " + m.Failed
					}
					t.row(id, path, m.ID, a.size(int64(m.Used)), a.size(int64(m.Avail)), state)
				}
			}
			return t.end()
		}))
}
