package cli

import (
	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cmd/internal/node"
	"github.com/aisle-store/aisle/target"
)

func (a *app) storage() *cobra.Command {
	c := &cobra.Command{Use: "storage", Short: "Attach, detach, enable and disable the disks of targets; repair those of a node that does not run", RunE: group}
	c.AddCommand(a.storageShow(), a.storageMountpath(), a.storageRebuild())
	return c
}

func (a *app) storageRebuild() *cobra.Command {
	var dir, mountpath string
	var dry bool
	cmd := &cobra.Command{
		Use:   "rebuild --dir DIRECTORY --mountpath DIRECTORY",
		Short: "Make the lost or damaged metadata store of a mountpath anew",
		Long: `Make the lost or damaged metadata store of a mountpath anew. For a node that does not run; docs/operations.md says when to use it.

What can be read of the old one is taken over; objects that it does not tell of any more come from the newest whole copy of their bytes on the disk. The old one
is kept beside. The mountpath serves again when no other target holds what was on it; else the others have the truth, and it counts as a disk that was lost.`,
		Args: arguments(0, 0),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if dir == "" || mountpath == "" {
			return &usageError{"--dir and --mountpath are needed: the state directory of the node, and which of its mountpaths"}
		}
		did, err := node.Rebuild(cmd.Context(), dir, mountpath, dry)
		if err != nil {
			return err
		}
		a.printRebuilt(did)
		if dry {
			a.printf("Nothing was changed (--dry-run).\n")
		}
		return nil
	}
	cmd.Flags().StringVar(&dir, "dir", "", "state directory of the node")
	cmd.Flags().StringVar(&mountpath, "mountpath", "", "mountpath of the node")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "look, say what would happen, and change nothing")
	return cmd
}

func (a *app) printRebuilt(did *target.Rebuilt) {
	switch {
	case did.IndexError != "":
		a.printf("The old index cannot be opened (%s): everything comes from the bodies on the disk.\n", did.IndexError)
	case did.Complete:
		a.printf("The old index can be read to its end: %d entries were taken over, %d cannot be believed.\n", did.Copied, did.Bad)
	default:
		a.printf("The old index is damaged: %d entries were taken over, %d cannot be believed, and what lay in damaged blocks is lost from it.\n", did.Copied, did.Bad)
	}
	a.printf("Bodies on the disk: %d; damaged or unfinished: %d; of older versions, or known to the old index: %d.\n", did.Bodies, did.Damaged, did.Older)
	a.printf("Objects that come back from their bodies: %d.\n", did.Restored)
	for _, n := range did.Names {
		a.printf("  bucket %d: %s\n", n.Bucket, n.Key)
	}
	if did.Restored > len(did.Names) {
		a.printf("  ... and %d more\n", did.Restored-len(did.Names))
	}
	if did.Restored > 0 {
		a.printf("Of these nobody can tell whether they were deleted since, or replaced by something of store.inline-max bytes at most, whether their last write was acknowledged, and what was changed of their metadata.\n")
	}
	if len(did.LostParts) > 0 {
		a.printf("Objects or uploads of several parts that are lost, for nothing tells which parts belong together:\n")
		for _, n := range did.LostParts {
			a.printf("  bucket %d: %s\n", n.Bucket, n.Key)
		}
	}
	if !did.Complete {
		a.printf("Small objects (up to store.inline-max bytes) whose records were lost are lost, and cannot be named.\n")
	}
	if did.Aside != "" {
		a.printf("The old index is kept in %s. Start the node.\n", did.Aside)
	}
}
