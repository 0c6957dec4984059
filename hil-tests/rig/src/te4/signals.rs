//! The signals of te4's PLC: the handshake as for R-101, two MVs (pressure and fraction of A), the operator's demand, the measurements.

use crate::plc::slot::MvRows;
use crate::signals::signals;

signals! {
    /// A signal of the simulated PLC of te4.
    Te4Signal in TE4_SIGNALS:
    // Runtime -> PLC, registers 0-13: values first, then what commits them, the heartbeat last.
    AppHbEcho      r#""TE4"."APC"."FromApp"."uiHbEcho""# UInt Write 0 "Last PLC heartbeat that the runtime has read";
    AppMode        r#""TE4"."APC"."FromApp"."iMode""# Int Write 1 "Actual mode of the runtime: 0 OFF, 1 ADVISORY, 2 CLOSED LOOP";
    AppStatus      r#""TE4"."APC"."FromApp"."wStatus""# Word Write 2 "Status bits of the runtime";
    PressValid     r#""TE4"."APC"."PressValid""# Bool Write 3 "Recommended pressure setpoint may be used";
    AppSignature   r#""TE4"."APC"."FromApp"."udiSig""# UDInt Write 4 "Signature of configuration and models";
    PressSp        r#""TE4"."APC"."PressSp""# Real Write 6 "Recommended pressure setpoint, kPa";
    CompSp         r#""TE4"."APC"."CompSp""# Real Write 8 "Recommended setpoint of the fraction of A, %";
    CompValid      r#""TE4"."APC"."CompValid""# Bool Write 10 "Recommended setpoint of the fraction of A may be used";
    PressSeq       r#""TE4"."APC"."PressSeq""# UInt Write 11 "Sequence number of the pressure setpoint";
    CompSeq        r#""TE4"."APC"."CompSeq""# UInt Write 12 "Sequence number of the setpoint of the fraction of A";
    AppHb          r#""TE4"."APC"."FromApp"."uiHb""# UInt Write 13 "Heartbeat of the runtime";
    // PLC -> runtime, registers 100-169.
    PlcHb          r#""TE4"."APC"."ToApp"."uiHb""# UInt Read 100 "Heartbeat of the PLC";
    ModeReq        r#""TE4"."APC"."ToApp"."iModeReq""# Int Read 101 "Mode that PLC and operator ask for";
    ClosedLoop     r#""TE4"."APC"."ToApp"."xClosedLoop""# Bool Read 102 "Recommendations are used";
    LinkOk         r#""TE4"."APC"."ToApp"."xLinkOk""# Bool Read 103 "The runtime's heartbeat is alive";
    ShedReason     r#""TE4"."APC"."ToApp"."iShedReason""# Int Read 104 "0 none 1 heartbeat 2 app mode 3 permit 4 signature 5 operator";
    ShedCount      r#""TE4"."APC"."ToApp"."uiShedCount""# UInt Read 105 "Sheds without the operator";
    PressSpAct     r#""TE4"."APC"."PressSpAct""# Real Read 106 "Active setpoint of the pressure, kPa";
    PressLo        r#""TE4"."APC"."PressLo""# Real Read 108 "Operator limit of the pressure, low, kPa";
    PressHi        r#""TE4"."APC"."PressHi""# Real Read 110 "Operator limit of the pressure, high, kPa";
    PressEngLo     r#""TE4"."APC"."PressEngLo""# Real Read 112 "Engineering limit of the pressure, low, kPa";
    PressEngHi     r#""TE4"."APC"."PressEngHi""# Real Read 114 "Engineering limit of the pressure, high, kPa";
    PressInControl r#""TE4"."APC"."PressInControl""# Bool Read 116 "The runtime may move the setpoint of the pressure";
    PressSeqAck    r#""TE4"."APC"."PressSeqAck""# UInt Read 117 "Last accepted sequence number of the pressure";
    PressReject    r#""TE4"."APC"."PressReject""# Int Read 118 "0 ok 1 NaN 2 not valid 3 engineering limit 4 jump 5 limits";
    PressLimHi     r#""TE4"."APC"."PressLimHi""# Bool Read 119 "Setpoint of the pressure clamped at its high limit";
    PressLimLo     r#""TE4"."APC"."PressLimLo""# Bool Read 120 "Setpoint of the pressure clamped at its low limit";
    PressAuto      r#""TE4"."PIC1"."Auto""# Bool Read 121 "The pressure loop is in AUTO";
    CompSpAct      r#""TE4"."APC"."CompSpAct""# Real Read 122 "Active setpoint of the fraction of A, %";
    CompLo         r#""TE4"."APC"."CompLo""# Real Read 124 "Operator limit of the fraction of A, low, %";
    CompHi         r#""TE4"."APC"."CompHi""# Real Read 126 "Operator limit of the fraction of A, high, %";
    CompEngLo      r#""TE4"."APC"."CompEngLo""# Real Read 128 "Engineering limit of the fraction of A, low, %";
    CompEngHi      r#""TE4"."APC"."CompEngHi""# Real Read 130 "Engineering limit of the fraction of A, high, %";
    CompInControl  r#""TE4"."APC"."CompInControl""# Bool Read 132 "The runtime may move the setpoint of the fraction of A";
    CompSeqAck     r#""TE4"."APC"."CompSeqAck""# UInt Read 133 "Last accepted sequence number of the fraction of A";
    CompReject     r#""TE4"."APC"."CompReject""# Int Read 134 "0 ok 1 NaN 2 not valid 3 engineering limit 4 jump 5 limits";
    CompLimHi      r#""TE4"."APC"."CompLimHi""# Bool Read 135 "Setpoint of the fraction of A clamped at its high limit";
    CompLimLo      r#""TE4"."APC"."CompLimLo""# Bool Read 136 "Setpoint of the fraction of A clamped at its low limit";
    CompAuto       r#""TE4"."AIC1"."Auto""# Bool Read 137 "The loop of the fraction of A is in AUTO";
    Demand         r#""TE4"."FIC4"."Demand""# Real Read 138 "Product flow that the operator asks for, kmol/h";
    DemandAct      r#""TE4"."FIC4"."SP""# Real Read 140 "Setpoint of the product flow after the pressure override, kmol/h";
    PressPv        r#""TE4"."PIC1"."PV""# Real Read 142 "Pressure, kPa";
    LevelPv        r#""TE4"."LIC1"."PV""# Real Read 144 "Level, %";
    Feed1Pv        r#""TE4"."FI1"."PV""# Real Read 146 "Feed 1, kmol/h";
    Feed2Pv        r#""TE4"."FI2"."PV""# Real Read 148 "Feed 2, pure A, kmol/h";
    PurgePv        r#""TE4"."FI3"."PV""# Real Read 150 "Purge, kmol/h";
    ProductPv      r#""TE4"."FIC4"."PV""# Real Read 152 "Product, kmol/h";
    FracA          r#""TE4"."AI1"."A""# Real Read 154 "Analyser: A in the purge, %";
    FracB          r#""TE4"."AI1"."B""# Real Read 156 "Analyser: B in the purge, %";
    FracC          r#""TE4"."AI1"."C""# Real Read 158 "Analyser: C in the purge, %";
    Valve1         r#""TE4"."XV1"."POS""# Real Read 160 "Position of valve 1, feed 1, %";
    Valve2         r#""TE4"."XV2"."POS""# Real Read 162 "Position of valve 2, pure A, %";
    Valve3         r#""TE4"."XV3"."POS""# Real Read 164 "Position of valve 3, purge, %";
    Valve4         r#""TE4"."XV4"."POS""# Real Read 166 "Position of valve 4, product, %";
    Overriding     r#""TE4"."PIC1"."Override""# Bool Read 168 "The pressure override takes demand away";
    Tripped        r#""TE4"."PIC1"."Trip""# Bool Read 169 "The plant has shut itself down";
}

/// Rows of the MV "pressure".
pub const PRESS: MvRows = MvRows {
    sp: Te4Signal::PressSp as usize,
    seq: Te4Signal::PressSeq as usize,
    valid: Te4Signal::PressValid as usize,
    sp_act: Te4Signal::PressSpAct as usize,
    in_control: Te4Signal::PressInControl as usize,
    seq_ack: Te4Signal::PressSeqAck as usize,
    reject: Te4Signal::PressReject as usize,
    lim_hi: Te4Signal::PressLimHi as usize,
    lim_lo: Te4Signal::PressLimLo as usize,
    lo: Te4Signal::PressLo as usize,
    hi: Te4Signal::PressHi as usize,
    eng_lo: Te4Signal::PressEngLo as usize,
    eng_hi: Te4Signal::PressEngHi as usize,
    auto: Te4Signal::PressAuto as usize,
};

/// Rows of the MV "fraction of A".
pub const COMP: MvRows = MvRows {
    sp: Te4Signal::CompSp as usize,
    seq: Te4Signal::CompSeq as usize,
    valid: Te4Signal::CompValid as usize,
    sp_act: Te4Signal::CompSpAct as usize,
    in_control: Te4Signal::CompInControl as usize,
    seq_ack: Te4Signal::CompSeqAck as usize,
    reject: Te4Signal::CompReject as usize,
    lim_hi: Te4Signal::CompLimHi as usize,
    lim_lo: Te4Signal::CompLimLo as usize,
    lo: Te4Signal::CompLo as usize,
    hi: Te4Signal::CompHi as usize,
    eng_lo: Te4Signal::CompEngLo as usize,
    eng_hi: Te4Signal::CompEngHi as usize,
    auto: Te4Signal::CompAuto as usize,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::flaws;

    #[test]
    fn the_table_is_sound() {
        assert_eq!(flaws(TE4_SIGNALS), [""; 0]);
        assert_eq!(TE4_SIGNALS[Te4Signal::PressPv as usize].node, r#""TE4"."PIC1"."PV""#);
    }
}
