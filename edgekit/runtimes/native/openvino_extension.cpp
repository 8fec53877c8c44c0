// The selective scan as an operator of OpenVINO: "SelectiveScan", version "edgekit".

#include <memory>

#include <openvino/core/extension.hpp>
#include <openvino/core/op_extension.hpp>
#include <openvino/op/op.hpp>
#include <tbb/parallel_for.h>

#include "selective_scan.hpp"

namespace {

// Inputs u, dt [N, G, L, D], A [G, D, S], B, C [N, G, L, S], skip [G, D]; output [N, G, L, D]; all float32.
// `backwards`: how many groups, the last ones, are read from their end. `raw_steps`: softplus makes dt positive.
class SelectiveScan : public ov::op::Op {
public:
    OPENVINO_OP("SelectiveScan", "edgekit");

    SelectiveScan() = default;
    SelectiveScan(const ov::OutputVector& inputs, std::int64_t backwards, bool raw_steps)
        : Op(inputs), backwards(backwards), raw_steps(raw_steps) {
        constructor_validate_and_infer_types();
    }

    void validate_and_infer_types() override {
        OPENVINO_ASSERT(get_input_size() == 6, "SelectiveScan takes six inputs");
        for (std::size_t i = 0; i < 6; ++i)
            OPENVINO_ASSERT(get_input_element_type(i).compatible(ov::element::f32), "SelectiveScan takes float32");
        for (const std::size_t i : {0, 3})
            OPENVINO_ASSERT(get_input_partial_shape(i).rank().compatible(4), "SelectiveScan takes [N, G, L, *]");
        set_output_type(0, ov::element::f32, get_input_partial_shape(0));
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
        return std::make_shared<SelectiveScan>(inputs, backwards, raw_steps);
    }

    bool visit_attributes(ov::AttributeVisitor& visitor) override {
        visitor.on_attribute("backwards", backwards);
        visitor.on_attribute("raw_steps", raw_steps);
        return true;
    }

    bool has_evaluate() const override { return true; }

    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
        const ov::Shape shape = inputs[0].get_shape();
        const std::size_t groups = shape[1], length = shape[2], channels = shape[3];
        const std::size_t states = inputs[3].get_shape()[3];
        // A file may be altered, and nothing outside of the tensors may be read.
        const ov::Shape narrow_shape{shape[0], groups, length, states};
        OPENVINO_ASSERT(inputs[1].get_shape() == shape && inputs[3].get_shape() == narrow_shape &&
                            inputs[4].get_shape() == narrow_shape &&
                            inputs[2].get_shape() == ov::Shape({groups, channels, states}) &&
                            inputs[5].get_shape() == ov::Shape({groups, channels}) && length > 0 && backwards >= 0,
                        "SelectiveScan: the sizes of its inputs do not fit one another");
        outputs[0].set_shape(shape);
        const float *u = inputs[0].data<const float>(), *dt = inputs[1].data<const float>(),
                    *A = inputs[2].data<const float>(), *B = inputs[3].data<const float>(),
                    *C = inputs[4].data<const float>(), *skip = inputs[5].data<const float>();
        float* y = outputs[0].data<float>();
        const std::size_t blocks = (channels + edgekit::LANES - 1) / edgekit::LANES;
        // In the arena of the plugin, which holds as many threads as the model was compiled for.
        tbb::parallel_for(std::size_t(0), shape[0] * groups * blocks, [&](std::size_t part) {
            const std::size_t row = part / blocks, group = row % groups, first = part % blocks * edgekit::LANES;
            const std::size_t wide = row * length * channels, narrow = row * length * states;
            const bool turned = group + static_cast<std::size_t>(backwards) >= groups;
            edgekit::scan_block({u + wide, dt + wide, A + group * channels * states, B + narrow, C + narrow,
                                 skip + group * channels, y + wide, length, channels, states, turned, raw_steps},
                                first);
        });
        return true;
    }

private:
    std::int64_t backwards = 0;
    bool raw_steps = false;
};

}  // namespace

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({std::make_shared<ov::OpExtension<SelectiveScan>>()}));
