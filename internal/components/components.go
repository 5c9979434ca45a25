// Package components finds the strongly connected components of a directed graph: the
// maximal sets of nodes that all reach each other.
package components

import "slices"

// Of returns the components of a graph whose nodes are the indices of next, which lists the
// successors of each node. of maps each node to its component, nodes lists the nodes of each
// component. A component leads only to components with higher numbers. It runs in linear
// time and without recursion, which would be as deep as the data.
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
	last := len(s.nodes) - 1 // a component completes after those it leads to
	for n := range s.of {
		s.of[n] = last - s.of[n]
	}
	slices.Reverse(s.nodes)
	return s.of, s.nodes
}

// search is the state of Tarjan's algorithm.
type search struct {
	next    [][]int
	order   []int // in which nodes were reached, from 1; 0 if not yet
	low     []int // lowest order known to be in a node's component
	at      []int // how many of next are finished
	path    []int // from the start to the current node
	pending []int // reached, but not yet in a complete component
	done    []int // in complete components, one after the other
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

// follow follows an edge. An edge to a node not yet reached is followed twice: to reach it,
// and again when everything behind it is finished.
func (s *search) follow(n, to int) {
	if s.order[to] == 0 {
		s.reach(to)
		return
	}
	s.at[n]++
	s.low[n] = min(s.low[n], s.low[to]) // in a complete component, low exceeds any order
}

// complete closes the component whose first node this is: everything pending since then.
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
