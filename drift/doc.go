// Package drift notices that a purge would delete other rows than it did before: it takes a
// policy's print, which is all that decides which rows go, and compares two prints. A change is
// harmless only if it is on a closed list; whoever wants any other has to say so.
//
// A print does not depend on the role, on the server's version or on reaper's. It leaves out what
// only decides how rows are found and how fast they go: indexes, strategies, limits.
package drift
