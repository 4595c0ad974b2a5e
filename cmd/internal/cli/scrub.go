package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

// scrubPoll is how often --wait looks.
const scrubPoll = 500 * time.Millisecond

func (a *app) scrub() *cobra.Command {
	var nodes []string
	var wait bool
	cmd := a.command("scrub", "Verify the checksums of everything stored, now", 0, 0,
		func(ctx context.Context, c *client.Client, _ []string) error {
			ids, err := targetsNamed(ctx, c, nodes)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := c.StartScrub(ctx, cluster.NodeID(id)); err != nil {
					return fmt.Errorf("node %s: %w", id, err)
				}
			}
			if !wait {
				a.printf("Verifying %d targets. To follow it: aisle show scrub\n", len(ids))
				return nil
			}
			return a.awaitScrub(ctx, c, ids)
		})
	cmd.Long = `Verify the checksums of everything stored, now.

Each target reads all that lies on its mountpaths, at the rate that the setting scrub.rate allows, and repairs what is damaged from other copies.
Where a verification runs already, it goes on. What could not be repaired before is tried again.

With --wait the command returns when everything is verified, and fails when something damaged could not be repaired.`
	cmd.Flags().StringArrayVar(&nodes, "node", nil, "only this node; may be repeated")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when everything is verified")
	return cmd
}

// targetsNamed returns the ids of all targets, or of those that are named.
func targetsNamed(ctx context.Context, c *client.Client, names []string) ([]string, error) {
	smap, err := c.Smap(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		for id := range smap.Targets {
			names = append(names, id)
		}
		slices.Sort(names)
	}
	for _, name := range names {
		if _, ok := smap.Targets[name]; !ok {
			return nil, &usageError{fmt.Sprintf("there is no target %q; `aisle show smap` lists them", name)}
		}
	}
	return names, nil
}

// awaitScrub returns when nodes have verified everything and tried to repair what they found.
func (a *app) awaitScrub(ctx context.Context, c *client.Client, ids []string) error {
	for {
		all, silent := scrubsOf(ctx, c, ids)
		if len(silent) > 0 {
			return fmt.Errorf("node %s does not answer any more", silent[0])
		}
		if busy := slices.ContainsFunc(all, isScrubbing); !busy {
			return a.sumUpScrub(all)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(scrubPoll):
		}
	}
}

// isScrubbing reports whether a node verifies, or has still to try to repair something.
func isScrubbing(s api.Scrub) bool {
	return slices.ContainsFunc(s.Mountpaths, func(m api.ScrubState) bool { return m.Failed == "" && (m.Asked || m.Running) }) ||
		slices.ContainsFunc(s.Damages, func(d api.Damage) bool { return d.Attempts == 0 })
}

func (a *app) sumUpScrub(all []api.Scrub) error {
	var entries, bytes, found, left int64
	var failed []error
	for _, s := range all {
		left += int64(len(s.Damages)) + s.More
		for _, m := range s.Mountpaths {
			entries, bytes, found = entries+m.Entries, bytes+m.Bytes, found+m.Found
			if m.Failed != "" {
				failed = append(failed, fmt.Errorf("node %s, mountpath %s was not verified: %s", s.Node, m.Path, m.Failed))
			}
		}
	}
	a.printf("Verified: %s, %d entries. Damaged: %d; not repaired: %d.\n", a.size(bytes), entries, found, left)
	if left > 0 {
		failed = append(failed, errors.New("something is damaged and could not be repaired; see: aisle show scrub"))
	}
	return errors.Join(failed...)
}

func (a *app) showScrub(verb string) *cobra.Command {
	return a.tabular(a.command(verb, "Show how far the verification of what is stored is, and what is damaged", 0, 0,
		func(ctx context.Context, c *client.Client, _ []string) error {
			ids, err := targetsNamed(ctx, c, nil)
			if err != nil {
				return err
			}
			all, silent := scrubsOf(ctx, c, ids)
			if a.json {
				return a.printJSON(all)
			}
			for _, id := range silent {
				a.printf("Node %s does not answer: its mountpaths are not shown.\n", id)
			}
			if err := a.printScrubs(all); err != nil {
				return err
			}
			return a.printDamages(all)
		}))
}

// scrubsOf asks nodes for their scrubs. silent are those that did not answer.
func scrubsOf(ctx context.Context, c *client.Client, ids []string) (all []api.Scrub, silent []string) {
	all = []api.Scrub{}
	for _, got := range askNodes(ctx, 5*time.Second, ids, c.Scrub) {
		if got.err != nil {
			silent = append(silent, got.node)
			continue
		}
		got.value.Node = got.node
		all = append(all, got.value)
	}
	return all, silent
}

func (a *app) printScrubs(all []api.Scrub) error {
	t := a.table("NODE", "MOUNTPATH", "PASS", "ENTRIES", "VERIFIED", "FOUND", "REPAIRED", "DAMAGED", "START", "END", "STATE")
	for _, s := range all {
		for _, m := range s.Mountpaths {
			verified := a.size(m.Bytes)
			if m.Running && m.Previous > 0 {
				verified += " of about " + a.size(max(m.Previous, m.Bytes))
			}
			t.row(s.Node, m.Path, fmt.Sprint(m.Pass), fmt.Sprint(m.Entries), verified, fmt.Sprint(m.Found), fmt.Sprint(m.Repaired), fmt.Sprint(m.Damaged),
				formatTime(m.Began), formatTime(m.Ended), scrubState(m))
		}
	}
	return t.end()
}

func scrubState(m api.ScrubState) string {
	switch {
	case m.Failed != "":
		return "failed: " + m.Failed
	case m.Running:
		return "running"
	case m.Asked:
		return "beginning"
	case m.Pass == 0:
		return "never ran"
	case m.Ended.IsZero():
		return "interrupted"
	}
	return "waiting"
}

// printDamages prints what is damaged and not repaired, by name.
func (a *app) printDamages(all []api.Scrub) error {
	var more int64
	t := a.table("NODE", "MOUNTPATH", "DAMAGED", "SINCE", "OTHER COPIES", "ATTEMPTS", "WHY")
	rows := 0
	for _, s := range all {
		more += s.More
		for _, d := range s.Damages {
			rows++
			why := d.Failed
			if why == "" {
				why = d.Error
			}
			t.row(s.Node, d.Mountpath, damageName(d), formatTime(d.Since), fmt.Sprint(d.Copies), fmt.Sprint(d.Attempts), why)
		}
	}
	if rows == 0 {
		return nil
	}
	a.printf("\n")
	if err := t.end(); err != nil {
		return err
	}
	if more > 0 {
		a.printf("%d more were found; they are named when some of these are gone.\n", more)
	}
	return nil
}

func damageName(d api.Damage) string {
	switch {
	case d.Object == "":
		return "a part of the index"
	case d.Upload != "":
		return fmt.Sprintf("%s (part %d of upload %s)", d.Object, d.Part, d.Upload)
	}
	return d.Object
}
