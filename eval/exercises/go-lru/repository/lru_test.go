package lru

import "testing"

func TestTheOldestEntryIsDropped(t *testing.T) {
	cache := New(2)
	cache.Set("a", 1)
	cache.Set("b", 2)
	cache.Set("c", 3)
	if _, ok := cache.Get("a"); ok {
		t.Error("a is still there")
	}
	if value, ok := cache.Get("c"); value != 3 || !ok || cache.Len() != 2 {
		t.Errorf("c is %d, %v, and there are %d entries", value, ok, cache.Len())
	}
}
