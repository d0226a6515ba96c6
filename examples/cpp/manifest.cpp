#include "manifest.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "failure.h"

namespace {

using nlohmann::json;

/// A JSON file that names itself when a field is not what it should be.
class Fields {
 public:
  explicit Fields(const std::filesystem::path& file) : file_(file.string()) {
    std::ifstream stream(file);
    if (!stream) throw Failure("cannot read " + file_);
    try {
      content_ = json::parse(stream);
    } catch (const json::exception&) {
      throw Failure(file_ + ": not JSON");
    }
  }

  bool has(const std::string& name) const {
    return content_.is_object() && content_.contains(name) && !content_[name].is_null();
  }

  /// A field, or `Failure` that says what it must be.
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

std::array<float, 3> read_colours(const Fields& fields, const std::string& name) {
  const std::string allowed = "three numbers";
  const auto values = fields.get<std::vector<float>>(name, allowed);
  if (values.size() != 3) throw fields.wrong(name, allowed);
  return {values[0], values[1], values[2]};
}

}  // namespace

Manifest read_manifest(const std::filesystem::path& folder) {
  const Fields fields(folder / "model.json");
  const std::string runtime = "executorch";
  if (fields.get<std::string>("runtime", runtime) != runtime) throw fields.wrong("runtime", runtime);
  const std::string allowed = "[1, 3, height, width], as lvt export --size HEIGHT WIDTH writes it";
  const auto input = fields.get<std::vector<int>>("input", allowed);
  if (input.size() != 4 || input[0] != 1 || input[1] != 3 || input[2] < 1 || input[3] < 1) {
    throw fields.wrong("input", allowed);
  }
  Manifest manifest;
  manifest.model = folder / fields.get<std::string>("file", "a file's name");
  manifest.height = input[2];
  manifest.width = input[3];
  manifest.mean = read_colours(fields, "mean");
  manifest.deviation = read_colours(fields, "std");
  if (fields.has("classes")) {
    manifest.classes = fields.get<std::vector<std::string>>("classes", "names or null");
  }
  return manifest;
}
