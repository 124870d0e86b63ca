// A thread pool with a barrier, and the static partition of work among its threads.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

// Threads that run one function together. Waiting threads spin briefly, since the others are usually about to arrive, and
// then sleep: on a busy machine the thread waited for may not be scheduled.
class ThreadPool {
  public:
    explicit ThreadPool(int n) : n(n) {
        for (int i = 1; i < n; i++) threads.emplace_back([this, i] { serve(i); });
    }
    ~ThreadPool() {
        stopping = true;
        advance(call);
        for (auto &thread : threads) thread.join();
    }
    void run(const std::function<void(int)> &work) {
        task = &work;
        advance(call);
        work(0);
        barrier();
    }
    // Wait until every thread of this call has arrived.
    void barrier() {
        const int now = phase.load(std::memory_order_acquire);
        if (arrived.fetch_add(1, std::memory_order_acq_rel) == n - 1) {
            arrived.store(0, std::memory_order_relaxed);
            advance(phase);
        } else {
            await(phase, now);
        }
    }
    const int n;

  private:
    static constexpr int SPINS = 2000;
    static void advance(std::atomic<int> &counter) {
        counter.fetch_add(1, std::memory_order_acq_rel);
        counter.notify_all();
    }
    static void await(std::atomic<int> &counter, int seen) {
        for (int spin = 0; spin < SPINS; spin++) {
            if (counter.load(std::memory_order_acquire) != seen) return;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
        counter.wait(seen, std::memory_order_acquire);
    }
    void serve(int index) {
        for (int seen = 0;; seen++) {
            await(call, seen);
            if (stopping) return;
            (*task)(index);
            barrier();
        }
    }
    std::vector<std::thread> threads;
    std::atomic<int> call{0}, arrived{0}, phase{0};
    std::atomic<bool> stopping{false};
    const std::function<void(int)> *task = nullptr;
};

struct Range { int first, last; };

// This thread's part of 0 … n − 1, a multiple of `unit`.
Range split_range(int n, int unit, int thread, int n_threads) {
    const int64_t units = n / unit;
    return {int(units * thread / n_threads) * unit, int(units * (thread + 1) / n_threads) * unit};
}
