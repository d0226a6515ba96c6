/// Classify a picture with a network that lvt export --to executorch wrote; no Python is needed.

#include <executorch/extension/threadpool/threadpool_guard.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <new>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "failure.h"
#include "image.h"
#include "manifest.h"
#include "network.h"

namespace {

constexpr const char* kUsage =
    "usage: classify FOLDER IMAGE.ppm [--top 5] [--repeat N] [--one-thread]\n"
    "  FOLDER        written by lvt export --to executorch: model.pte, model.json\n"
    "  --top N       print the N most probable classes\n"
    "  --repeat N    also print the median time of N runs\n"
    "  --one-thread  use one thread; the default is one per core\n";

struct Options {
  std::vector<std::string> paths;  // the folder and the image
  int top = 5;
  int repeat = 0;
  bool one_thread = false;
  bool help = false;
};

int parse_count(const std::string& option, std::string_view value) {
  int count = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (error != std::errc() || end != value.data() + value.size() || count < 1) {
    throw Failure(option + " " + std::string(value) + ": must be a whole number of at least 1");
  }
  return count;
}

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  for (auto word = arguments.begin(); word != arguments.end(); ++word) {
    if (*word == "--top" || *word == "--repeat") {
      int& count = *word == "--top" ? options.top : options.repeat;
      const std::string& option = *word;
      if (++word == arguments.end()) throw Failure(option + ": requires a number");
      count = parse_count(option, *word);
    } else if (*word == "--one-thread") {
      options.one_thread = true;
    } else if (*word == "--help") {
      options.help = true;
    } else if (word->rfind("--", 0) == 0) {
      throw Failure(*word + ": unknown option; --help lists all options");
    } else {
      options.paths.push_back(*word);
    }
  }
  if (!options.help && options.paths.size() != 2) {
    throw Failure("FOLDER IMAGE.ppm: both are required; --help lists all arguments");
  }
  return options;
}

std::vector<float> softmax(std::vector<float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  for (float& value : logits) value = std::exp(value - largest);
  const float sum = std::accumulate(logits.begin(), logits.end(), 0.0f);
  for (float& value : logits) value /= sum;
  return logits;
}

void print_top(const std::vector<float>& probabilities, const std::vector<std::string>& classes, int top) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min<std::size_t>(top, order.size());
  std::partial_sort(order.begin(), end, order.end(), [&](std::size_t left, std::size_t right) {
    return probabilities[left] > probabilities[right];
  });
  for (auto index = order.begin(); index != end; ++index) {
    const std::string name = classes.empty() ? "class " + std::to_string(*index) : classes[*index];
    std::printf("%.6f  %s\n", probabilities[*index], name.c_str());
  }
}

double median_milliseconds(Network& network, std::vector<float>& image, int repeat) {
  std::vector<double> times;
  for (int run = 0; run < repeat; ++run) {
    const auto start = std::chrono::steady_clock::now();
    network(image);
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    times.push_back(time.count());
  }
  const auto middle = times.begin() + times.size() / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

void classify(const Options& options) {
  // ExecuTorch's pool has one thread per core. The package can only switch the pool off, not shrink it.
  std::optional<executorch::extension::threadpool::NoThreadPoolGuard> one_thread;
  if (options.one_thread) one_thread.emplace();
  const Manifest manifest = read_manifest(options.paths[0]);
  std::vector<float> image = prepare(read_ppm(options.paths[1]), manifest);
  Network network(manifest);
  print_top(softmax(network(image)), manifest.classes, options.top);
  if (options.repeat > 0) {  // the run above was the warm-up
    const double time = median_milliseconds(network, image, options.repeat);
    std::printf("%.3f ms, median of %d\n", time, options.repeat);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse({argv + 1, argv + argc});
    if (options.help) {
      std::fputs(kUsage, stdout);
    } else {
      classify(options);
    }
    return 0;
  } catch (const std::bad_alloc&) {
    std::fputs("error: out of memory; take a smaller network or image\n", stderr);
  } catch (const std::exception& error) {  // a `Failure`, or what a library throws
    std::fprintf(stderr, "error: %s\n", error.what());
  }
  return 2;
}
