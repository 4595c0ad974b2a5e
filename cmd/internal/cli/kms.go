package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

func (a *app) kmsGroup() *cobra.Command {
	c := &cobra.Command{Use: "kms", Short: "Show and change the keys that objects are encrypted under (SSE-KMS and SSE-S3)", RunE: group}
	remove := a.kmsChange("rm NAME...", "Remove encryption keys: what is encrypted under them can never be read again", api.ActionRemoveKey, "removed")
	remove.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	c.AddCommand(a.kmsShow(),
		a.kmsChange("add NAME...", "Make encryption keys", api.ActionAddKey, "added"),
		a.kmsChange("rotate NAME...", "Give encryption keys a new version, for what is written from now on", api.ActionRotateKey, "rotated"),
		a.kmsChange("reseal NAME...", "Seal encryption keys anew, under the current master key of the node that is asked", api.ActionResealKey, "sealed anew"),
		remove)
	return c
}

func (a *app) kmsChange(use, short, action, done string) *cobra.Command {
	return a.command(use, short, 1, -1, func(ctx context.Context, c *client.Client, args []string) error {
		for _, name := range args {
			if action == api.ActionRemoveKey {
				if err := a.confirm(fmt.Sprintf("remove the encryption key %q, and with it all objects that are encrypted under it?", name)); err != nil {
					return err
				}
			}
			if err := c.ChangeEncryptionKey(ctx, action, name); err != nil {
				return err
			}
			a.printf("encryption key %q %s\n", name, done)
		}
		return nil
	})
}

func (a *app) kmsShow() *cobra.Command {
	return a.tabular(a.command("show", "Show the encryption keys", 0, 0, func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := c.EncryptionKeys(ctx)
		switch {
		case err != nil:
			return err
		case a.json:
			return a.printJSON(list)
		}
		t := a.table("KEY", "VERSIONS", "CREATED", "ROTATED", "SEALED UNDER")
		for _, k := range list {
			sealed := k.Sealed + " key"
			if !k.Opens {
				sealed += " (which the node that was asked does not have)"
			}
			t.row(k.Name, fmt.Sprint(k.Versions), k.Created.Format("2006-01-02"), k.Rotated.Format("2006-01-02"), sealed)
		}
		return t.end()
	}))
}
