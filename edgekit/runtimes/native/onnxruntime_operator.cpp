// The selective scan as an operator of ONNX Runtime: "SelectiveScan" in the domain "edgekit.native".
//
// ONNX Runtime's packages for Python come without its C header. What of that interface an operator needs is declared
// here, in its version 17: its structures only ever grow at their end, so what stands at a place stays there.

#include <climits>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "selective_scan.hpp"

namespace {

constexpr std::uint32_t VERSION = 17;  // of ONNX Runtime 1.17, the first whose operators can use its threads

struct Status;        // null where all is well
struct Options;       // of a session
struct Domain;        // a set of operators
struct KernelInfo;    // a node
struct Context;       // a run of a node
struct Value;         // a tensor
struct TensorInfo;    // its shape and type

// Functions of the runtime by their places in its table.
class Api {
public:
    Status* error(const char* message) const { return at<Status*(int, const char*)>(0)(6, message); }  // 6: runtime
    Status* create_domain(const char* name, Domain** made) const {
        return at<Status*(const char*, Domain**)>(26)(name, made);
    }
    Status* add_operator(Domain* domain, const struct Operator* one) const {
        return at<Status*(Domain*, const struct Operator*)>(27)(domain, one);
    }
    Status* add_domain(Options* options, Domain* domain) const {
        return at<Status*(Options*, Domain*)>(28)(options, domain);
    }
    Status* data(Value* value, void** found) const { return at<Status*(Value*, void**)>(51)(value, found); }
    Status* rank(const TensorInfo* info, std::size_t* found) const {
        return at<Status*(const TensorInfo*, std::size_t*)>(61)(info, found);
    }
    Status* sizes(const TensorInfo* info, std::int64_t* found, std::size_t rank) const {
        return at<Status*(const TensorInfo*, std::int64_t*, std::size_t)>(62)(info, found, rank);
    }
    Status* info(const Value* value, TensorInfo** found) const {
        return at<Status*(const Value*, TensorInfo**)>(65)(value, found);
    }
    Status* attribute(const KernelInfo* node, const char* name, std::int64_t* found) const {
        return at<Status*(const KernelInfo*, const char*, std::int64_t*)>(86)(node, name, found);
    }
    Status* input(const Context* run, std::size_t index, const Value** found) const {
        return at<Status*(const Context*, std::size_t, const Value**)>(90)(run, index, found);
    }
    Status* output(Context* run, std::size_t index, const std::int64_t* sizes, std::size_t rank, Value** made) const {
        return at<Status*(Context*, std::size_t, const std::int64_t*, std::size_t, Value**)>(91)(run, index, sizes,
                                                                                                rank, made);
    }
    void release(TensorInfo* info) const { at<void(TensorInfo*)>(99)(info); }
    // Calls `part(given, index)` for each index below `count`, on the threads of the session.
    Status* parallel(const Context* run, void (*part)(void*, std::size_t), std::size_t count, void* given) const {
        return at<Status*(const Context*, void (*)(void*, std::size_t), std::size_t, std::size_t, void*)>(274)(
            run, part, count, 0, given);
    }

private:
    template <typename Signature>
    Signature* at(std::size_t place) const {
        return reinterpret_cast<Signature*>(reinterpret_cast<void (*const*)()>(this)[place]);
    }
};

struct ApiBase {
    const Api* (*of_version)(std::uint32_t version);
    const char* (*name_of_version)();
};

// An operator, as the runtime asks for it. Types are numbers of the standard: 1 is float32.
struct Operator {
    std::uint32_t version;
    void* (*create_1)(const Operator*, const Api*, const KernelInfo*);
    const char* (*name)(const Operator*);
    const char* (*provider)(const Operator*);
    int (*input_type)(const Operator*, std::size_t);
    std::size_t (*inputs)(const Operator*);
    int (*output_type)(const Operator*, std::size_t);
    std::size_t (*outputs)(const Operator*);
    void (*compute_1)(void*, Context*);
    void (*destroy)(void*);
    int (*input_is_optional)(const Operator*, std::size_t);
    int (*output_is_optional)(const Operator*, std::size_t);
    int (*input_memory)(const Operator*, std::size_t);
    int (*unused[4])(const Operator*);  // of operators with any number of inputs or outputs
    Status* (*create)(const Operator*, const Api*, const KernelInfo*, void** made);
    Status* (*compute)(void*, Context*);
    Status* (*infer_shape)(const Operator*, void*);
    int (*first_version)(const Operator*);
    int (*last_version)(const Operator*);
};

struct Kernel {
    const Api* api;
    std::int64_t backwards, raw_steps;
};

#define RETURN_IF_BAD(call) \
    if (Status* bad = (call)) return bad

Status* create(const Operator*, const Api* api, const KernelInfo* node, void** made) {
    Kernel kernel{api, 0, 0};
    RETURN_IF_BAD(api->attribute(node, "backwards", &kernel.backwards));
    RETURN_IF_BAD(api->attribute(node, "raw_steps", &kernel.raw_steps));
    *made = new Kernel(kernel);
    return nullptr;
}

Status* shape_of(const Api& api, const Value* value, std::vector<std::int64_t>& shape) {
    TensorInfo* info = nullptr;
    RETURN_IF_BAD(api.info(value, &info));
    std::size_t rank = 0;
    Status* bad = api.rank(info, &rank);
    if (!bad) {
        shape.resize(rank);
        bad = api.sizes(info, shape.data(), rank);
    }
    api.release(info);
    return bad;
}

Status* compute(void* made, Context* run) {
    const Kernel& kernel = *static_cast<const Kernel*>(made);
    const Api& api = *kernel.api;
    std::vector<std::int64_t> shapes[edgekit::INPUTS];
    const float* values[edgekit::INPUTS];
    for (std::size_t i = 0; i < edgekit::INPUTS; ++i) {
        const Value* value = nullptr;
        RETURN_IF_BAD(api.input(run, i, &value));
        RETURN_IF_BAD(shape_of(api, value, shapes[i]));
        void* data = nullptr;  // the interface has no function for what is only read
        RETURN_IF_BAD(api.data(const_cast<Value*>(value), &data));
        values[i] = static_cast<const float*>(data);
    }
    if (!edgekit::Scan::fit(shapes, kernel.backwards))
        return api.error("SelectiveScan: the sizes of its inputs do not fit one another");
    const std::vector<std::int64_t>& wide = shapes[edgekit::U];
    Value* output = nullptr;
    RETURN_IF_BAD(api.output(run, 0, wide.data(), wide.size(), &output));
    void* y = nullptr;
    RETURN_IF_BAD(api.data(output, &y));
    edgekit::Scan scan(values, static_cast<float*>(y), wide, shapes[edgekit::B][3], kernel.backwards,
                       kernel.raw_steps != 0);
    const auto part = [](void* given, std::size_t index) { static_cast<edgekit::Scan*>(given)->compute(index); };
    return api.parallel(run, part, scan.parts(), &scan);
}

// ONNX Runtime calls what is null only in operators of other versions or kinds.
const Operator SELECTIVE_SCAN = {
    VERSION,
    nullptr,
    [](const Operator*) { return "SelectiveScan"; },
    [](const Operator*) -> const char* { return nullptr; },  // the CPU
    [](const Operator*, std::size_t) { return 1; },
    [](const Operator*) { return std::size_t(edgekit::INPUTS); },
    [](const Operator*, std::size_t) { return 1; },
    [](const Operator*) { return std::size_t(1); },
    nullptr,
    [](void* kernel) { delete static_cast<Kernel*>(kernel); },
    [](const Operator*, std::size_t) { return 0; },
    [](const Operator*, std::size_t) { return 0; },
    [](const Operator*, std::size_t) { return 0; },
    {},
    create,
    compute,
    nullptr,
    [](const Operator*) { return 1; },
    [](const Operator*) { return INT_MAX; },
};

}  // namespace

// The runtime calls it for each session that is to have the operator.
extern "C" __attribute__((visibility("default"))) Status* RegisterCustomOps(Options* options, const ApiBase* base) {
    const Api* api = base->of_version(VERSION);
    // Null in an older runtime, which has no way to say so here; it does not know the operator then.
    if (!api) return nullptr;
    // One for each session, which nothing says the end of: it is kept.
    Domain* domain = nullptr;
    RETURN_IF_BAD(api->create_domain("edgekit.native", &domain));
    RETURN_IF_BAD(api->add_operator(domain, &SELECTIVE_SCAN));
    return api->add_domain(options, domain);
}
