package lru

import (
	"testing"
	"time"
)

func has(cache *Cache, key string) bool {
	_, ok := cache.Get(key)
	return ok
}

func TestHiddenGetCountsAsUsing(t *testing.T) {
	cache := New(2)
	cache.Set("a", 1)
	cache.Set("b", 2)
	cache.Get("a")
	cache.Set("c", 3)
	if !has(cache, "a") || has(cache, "b") || !has(cache, "c") {
		t.Error("b should have been dropped")
	}
}

func TestHiddenSetCountsAsUsing(t *testing.T) {
	cache := New(2)
	cache.Set("a", 1)
	cache.Set("b", 2)
	cache.Set("a", 3)
	if cache.Len() != 2 {
		t.Errorf("there are %d entries", cache.Len())
	}
	cache.Set("c", 4)
	if value, ok := cache.Get("a"); value != 3 || !ok || has(cache, "b") {
		t.Errorf("a is %d, %v", value, ok)
	}
}

func TestHiddenAFullCacheStaysFull(t *testing.T) {
	cache := New(0)
	for _, key := range []string{"a", "b", "b", "a", "c"} {
		cache.Set(key, 1)
		if cache.Len() != 1 || !has(cache, key) {
			t.Fatalf("after %s there are %d entries", key, cache.Len())
		}
	}
}

func TestHiddenUsingDoesNotWalk(t *testing.T) {
	const entries = 100000
	cache := New(entries)
	keys := make([]string, entries)
	for at := range keys {
		keys[at] = string(rune('a'+at%26)) + time.Duration(at).String()
		cache.Set(keys[at], at)
	}
	done := make(chan bool)
	go func() {
		for round := 0; round < 3; round++ {
			for at, key := range keys {
				cache.Get(key)
				cache.Set(key, at)
			}
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("Get or Set walks over all entries")
	}
}
