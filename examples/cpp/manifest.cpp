#include "manifest.h"

#include <cmath>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>

#include "failure.h"

namespace {

using nlohmann::json;

/// Fields of a JSON file; errors name the file.
class Fields {
 public:
  explicit Fields(const std::filesystem::path& file) : file_(file.string()) {
    std::ifstream stream(file);
    if (!stream) throw Failure("cannot read " + file_);
    try {
      content_ = json::parse(stream);
    } catch (const json::exception&) {
      throw Failure(file_ + ": is not JSON");
    }
  }

  bool has(const std::string& name) const {
    return content_.is_object() && content_.contains(name) && !content_[name].is_null();
  }

  /// Return a field; throws `Failure` with the allowed values.
  template <typename T>
  T get(const std::string& name, const std::string& allowed) const {
    if (!has(name)) throw Failure(file_ + ": has no " + name + "; lvt export writes it");
    try {
      return content_[name].get<T>();
    } catch (const json::exception&) {
      throw wrong(name, allowed);
    }
  }

  Failure wrong(const std::string& name, const std::string& allowed) const {
    return Failure(file_ + ": " + name + " is " + content_[name].dump() + ": must be " + allowed);
  }

 private:
  std::string file_;
  json content_;
};

constexpr std::int64_t kLargestSide = 8192;

/// Read three numbers; the library's own conversion would accept `true`, too.
std::array<float, 3> read_colours(const Fields& fields, const std::string& name, bool positive) {
  const std::string allowed = positive ? "three positive numbers" : "three numbers";
  const auto values = fields.get<std::vector<json>>(name, allowed);
  if (values.size() != 3) throw fields.wrong(name, allowed);
  std::array<float, 3> colours{};
  for (std::size_t i = 0; i < colours.size(); ++i) {
    if (!values[i].is_number()) throw fields.wrong(name, allowed);
    colours[i] = values[i].get<float>();
    if (!std::isfinite(colours[i]) || (positive && colours[i] <= 0)) throw fields.wrong(name, allowed);
  }
  return colours;
}

/// Read height and width from [1, 3, height, width]; the library's own conversion would drop fractions.
std::array<int, 2> read_size(const Fields& fields) {
  const std::string allowed = "[1, 3, height, width], each side 1 to " + std::to_string(kLargestSide) +
                              ", as lvt export --size HEIGHT WIDTH writes it";
  const auto input = fields.get<std::vector<json>>("input", allowed);
  if (input.size() != 4 || input[0] != 1 || input[1] != 3) throw fields.wrong("input", allowed);
  std::array<int, 2> sides{};
  for (std::size_t i = 0; i < sides.size(); ++i) {
    const json& side = input[i + 2];
    if (!side.is_number_integer() || side < 1 || side > kLargestSide) throw fields.wrong("input", allowed);
    sides[i] = side.get<int>();
  }
  return sides;
}

}  // namespace

Manifest read_manifest(const std::filesystem::path& folder) {
  const Fields fields(folder / "model.json");
  const std::string runtime = "executorch";
  if (fields.get<std::string>("runtime", runtime) != runtime) throw fields.wrong("runtime", runtime);
  const std::array<int, 2> size = read_size(fields);
  Manifest manifest;
  manifest.model = folder / fields.get<std::string>("file", "a file's name");
  manifest.height = size[0];
  manifest.width = size[1];
  manifest.mean = read_colours(fields, "mean", false);
  manifest.deviation = read_colours(fields, "std", true);
  if (fields.has("classes")) {
    manifest.classes = fields.get<std::vector<std::string>>("classes", "names or null");
  }
  return manifest;
}
