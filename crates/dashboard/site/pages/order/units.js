// What can still be done with an order, by its status and its numbers. The service decides; this is
// what the page offers.

// In these, units can be cancelled, shipped and taken back.
const CHANGEABLE = ['confirmed', 'amending', 'fulfilling', 'fulfilled'];
const CANCELLABLE = ['received', 'reserved', 'confirmed', 'amending', 'expiring', 'expired', 'reviving'];
const SETTLED = ['reserved', 'confirmed', 'rejected', 'cancelled', 'expired'];
const IS_OUT = ['shipping', 'shipped'];
export const DISPOSITIONS = ['restock', 'quarantine', 'write_off'];

const keyOf = ({ product_id: product, location_id: location }) => `${product} ${location}`;
const withUnits = (lines) => lines.filter((line) => line.quantity > 0);
const total = (lines) => lines.reduce((sum, line) => sum + line.quantity, 0);

// When the order was settled first, if it was.
export const settledAt = (order) => order.history.find((its) => SETTLED.includes(its.status))?.at;

// Units that are held at each location: allocated, and in no shipment.
export function held(order) {
    const shipped = new Map();
    for (const { state, lines } of order.shipments) {
        if (!IS_OUT.includes(state)) continue;
        for (const line of lines) shipped.set(keyOf(line), (shipped.get(keyOf(line)) ?? 0) + line.quantity);
    }
    return withUnits(order.allocations.map((its) => ({ ...its, quantity: its.quantity - (shipped.get(keyOf(its)) ?? 0) })));
}

// Units of each product that were ordered and are neither shipped nor cancelled.
export const cancellable = (order) => withUnits(order.items.map((its) => ({
    product_id: its.product_id, quantity: its.ordered - its.cancelled - its.shipped,
})));

// Units of each product that are with the customer.
export const returnable = (order) => withUnits(order.items.map((its) => ({
    product_id: its.product_id, quantity: its.shipped - its.returned,
})));

// The units of the order in numbers.
export function sums(order) {
    const of = (name) => order.items.reduce((sum, its) => sum + its[name], 0);
    return { ordered: of('ordered'), cancelled: of('cancelled'), shipped: of('shipped'), returned: of('returned') };
}

// The first thing to do with the order, if there is one.
export function nextAction(order, may) {
    if (may.pay && order.status === 'reserved') return 'pay';
    if (may.ship) return 'ship';
    return may.refund && order.payment.refund_due > 0 ? 'refund' : null;
}

// The actions that the order allows.
export function allowed(order) {
    const { status, payment } = order;
    const canChange = CHANGEABLE.includes(status);
    const isOut = order.items.some((its) => its.shipped > 0);
    return {
        cancel: CANCELLABLE.includes(status) && !isOut,
        // Of an order that is over, money that came is recorded and owed.
        pay: Boolean(payment) && payment.paid === 0 && order.total > 0,
        refund: Boolean(payment) && payment.paid > payment.refunded,
        ship: canChange && total(held(order)) > 0,
        cancelUnits: canChange && total(cancellable(order)) > 0,
        takeBack: canChange && total(returnable(order)) > 0,
        cancelShipment: (shipment) => canChange && IS_OUT.includes(shipment.state),
    };
}
