// The selective scan as an operator of OpenVINO: "SelectiveScan", version "edgekit".

#include <memory>

#include <openvino/core/extension.hpp>
#include <openvino/core/op_extension.hpp>
#include <openvino/op/op.hpp>
#include <tbb/parallel_for.h>

#include "selective_scan.hpp"

namespace {

// Inputs, output and attributes as in edgekit::Scan, all float32.
class SelectiveScan : public ov::op::Op {
public:
    OPENVINO_OP("SelectiveScan", "edgekit");

    SelectiveScan() = default;
    SelectiveScan(const ov::OutputVector& inputs, std::int64_t backwards, bool raw_steps)
        : Op(inputs), backwards(backwards), raw_steps(raw_steps) {
        constructor_validate_and_infer_types();
    }

    void validate_and_infer_types() override {
        OPENVINO_ASSERT(get_input_size() == edgekit::INPUTS, "SelectiveScan takes six inputs");
        for (std::size_t i = 0; i < edgekit::INPUTS; ++i)
            OPENVINO_ASSERT(get_input_element_type(i).compatible(ov::element::f32), "SelectiveScan takes float32");
        for (const std::size_t i : {edgekit::U, edgekit::B})
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
        ov::Shape shapes[edgekit::INPUTS];
        const float* values[edgekit::INPUTS];
        for (std::size_t i = 0; i < edgekit::INPUTS; ++i) {
            shapes[i] = inputs[i].get_shape();
            values[i] = inputs[i].data<const float>();
        }
        OPENVINO_ASSERT(edgekit::Scan::fit(shapes, backwards),
                        "SelectiveScan: the sizes of its inputs do not fit one another");
        const ov::Shape& wide = shapes[edgekit::U];
        outputs[0].set_shape(wide);
        const edgekit::Scan scan(values, outputs[0].data<float>(), wide, shapes[edgekit::B][3], backwards, raw_steps);
        // In the arena of the plugin, which holds as many threads as the model was compiled for.
        tbb::parallel_for(std::size_t(0), scan.parts(), [&](std::size_t part) { scan.compute(part); });
        return true;
    }

private:
    std::int64_t backwards = 0;
    bool raw_steps = false;
};

}  // namespace

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({std::make_shared<ov::OpExtension<SelectiveScan>>()}));
