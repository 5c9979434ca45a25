// Package expiry says when a row is expired: how its age compares with a cutoff, and which cutoff
// each tenant has. It contains the SQL of both.
//
// # One precedence
//
// [Tenants] is the only place where the precedence of retentions is implemented. It writes the SQL
// relation of tenants with their state and cutoff. The preview prints that relation, the search
// joins it, and the DELETE joins it again for the batch's tenant. So a hold or a longer retention
// counts from the moment it is committed, even between search and DELETE.
//
// A tenants query cannot be joined in a statement that writes. It is evaluated in read-only
// transactions, again and again while its tenants are worked on, so that a batch uses no answer
// older than five seconds.
//
// # Cutoffs only move back
//
// All cutoffs of a run count back from the same instant: its start, by the database's clock. At
// that start the run records them in the ledger: those of tenants that have something due, the most
// overdue first, or, before a sweep, those of all tenants that have a cutoff. They are not kept in
// memory, because there may be millions of tenants. From then on every page of tenants and every
// stretch of a sweep uses the earlier of the recorded cutoff and the current one. A retention that
// becomes shorter, or a hold that is lifted, waits for the next run.
//
// # Grace
//
// Where a shorter retention counts only after a while, the cutoff of a tenant is the earliest of its
// own and of those that runs have recorded within that time ([Grace]). It is part of the relation of
// tenants, so whatever reads that agrees. Statements that are bounded by the cutoffs of the run's
// start, in which it counts already, leave it out.
//
// # Ages
//
// An [Age] compares the column as it is stored, without a function around it, so that an index on
// it serves. What is converted is the cutoff. NULL, infinity, integers up to 0, times before 1900
// and the beginning of 1970 never expire: they mean "not yet" where a language has no NULL for
// times. Local time of any zone but UTC may run backwards. There the index is searched with a
// margin of three hours, and the exact condition is checked on each row. Identifiers that begin with a
// time are compared with the first one of the cutoff's millisecond; what is no identifier never expires.
package expiry
