// Package components finds the strongly connected components of a directed graph:
// the largest sets of nodes each of which leads to each other.
package components

import "slices"

// Of gives the components of a graph whose nodes are the indices of next, which
// lists for each node those that it leads to. of is the number of each node's
// component, nodes are those of each component. A component leads only to
// components with higher numbers. It takes time in proportion to nodes and edges,
// and no recursion, which would go as deep as the data.
func Of(next [][]int) (of []int, nodes [][]int) {
	s := &search{
		next: next, order: make([]int, len(next)), low: make([]int, len(next)), at: make([]int, len(next)), of: make([]int, len(next)),
		done: make([]int, 0, len(next)),
	}
	for n := range next {
		if s.order[n] == 0 {
			s.from(n)
		}
	}
	last := len(s.nodes) - 1 // a component is complete after those that it leads to
	for n := range s.of {
		s.of[n] = last - s.of[n]
	}
	slices.Reverse(s.nodes)
	return s.of, s.nodes
}

// search is Tarjan's algorithm at work.
type search struct {
	next    [][]int
	order   []int // in which nodes were reached, from 1; 0: not yet
	low     []int // the least order of the nodes that are known to be in a node's component
	at      []int // how many of next are done with
	path    []int // from the start to the current node
	pending []int // reached, and in no complete component yet
	done    []int // in a complete component, one component after the other
	of      []int // the component of each node in done
	nodes   [][]int
	reached int
}

func (s *search) from(start int) {
	s.reach(start)
	for len(s.path) > 0 {
		n := s.path[len(s.path)-1]
		if s.at[n] < len(s.next[n]) {
			s.follow(n, s.next[n][s.at[n]])
			continue
		}
		s.path = s.path[:len(s.path)-1]
		if s.low[n] == s.order[n] {
			s.complete(n)
		}
	}
}

func (s *search) reach(n int) {
	s.reached++
	s.order[n], s.low[n] = s.reached, s.reached
	s.path, s.pending = append(s.path, n), append(s.pending, n)
}

// follow goes along an edge. One whose end was not reached yet is followed twice:
// there, and again when all behind it is done with.
func (s *search) follow(n, to int) {
	if s.order[to] == 0 {
		s.reach(to)
		return
	}
	s.at[n]++
	s.low[n] = min(s.low[n], s.low[to]) // of a complete component it is more than any
}

// complete closes the component whose first node this is: those pending since.
func (s *search) complete(first int) {
	begin := len(s.done)
	i := len(s.pending)
	for {
		i--
		n := s.pending[i]
		s.of[n], s.low[n] = len(s.nodes), len(s.next)+1
		s.done = append(s.done, n)
		if n == first {
			break
		}
	}
	s.pending = s.pending[:i]
	s.nodes = append(s.nodes, s.done[begin:len(s.done):len(s.done)])
}
