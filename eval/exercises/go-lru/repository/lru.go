// Package lru is a cache that drops the least recently used entry.
package lru

import "container/list"

// Cache holds a limited number of entries. It is not safe for concurrent use.
type Cache struct {
	capacity int
	order    *list.List // of *entry, most recently used first
	entries  map[string]*list.Element
}

type entry struct {
	key   string
	value int
}

// New makes a cache of at most capacity entries, at least one.
func New(capacity int) *Cache {
	if capacity < 1 {
		capacity = 1
	}
	return &Cache{capacity: capacity, order: list.New(), entries: make(map[string]*list.Element)}
}

// Len returns the number of entries.
func (c *Cache) Len() int { return c.order.Len() }

// Get returns an entry and counts it as used.
func (c *Cache) Get(key string) (int, bool) {
	element, ok := c.entries[key]
	if !ok {
		return 0, false
	}
	return element.Value.(*entry).value, true
}

// Set sets an entry and counts it as used.
func (c *Cache) Set(key string, value int) {
	c.entries[key] = c.order.PushFront(&entry{key, value})
	if c.order.Len() > c.capacity {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.entries, oldest.Value.(*entry).key)
	}
}
