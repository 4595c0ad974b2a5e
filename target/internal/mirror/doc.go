// Package mirror keeps the files of one mountpath in directories on several disks: its sides. A file system of it does every change on
// all sides that are in step, and reads one of them. A side that did not do what another one did is out of step, for ever: that is
// noted, durably and elsewhere, before any sync returns that was not done on it. So what was ever synced is on every side that is
// noted to be in step, and a side that is out is never read again, whenever its disk comes back.
//
// docs/consistency.md, "Mirrors", has the rules and what a crash leaves.
package mirror
